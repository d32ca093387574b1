// Network policies for a cluster whose network has none: kube-router's controller of policies alone, on one node.
package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/cloudnativelabs/kube-router/v2/pkg/controllers/netpol"
	"github.com/cloudnativelabs/kube-router/v2/pkg/healthcheck"
	"github.com/cloudnativelabs/kube-router/v2/pkg/options"
	"github.com/spf13/pflag"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
)

func must(err error) {
	if err != nil {
		klog.Fatal(err)
	}
}

func main() {
	config := options.NewKubeRouterConfig()
	config.AddFlags(pflag.CommandLine)
	pflag.Parse()
	access, err := clientcmd.BuildConfigFromFlags("", config.Kubeconfig)
	must(err)
	client, err := kubernetes.NewForConfig(access)
	must(err)

	stop, beats, done := make(chan struct{}), make(chan *healthcheck.ControllerHeartbeat, 10), sync.WaitGroup{}
	seen := informers.NewSharedInformerFactory(client, 0)
	pods, spaces := seen.Core().V1().Pods().Informer(), seen.Core().V1().Namespaces().Informer()
	policies := seen.Networking().V1().NetworkPolicies().Informer()
	seen.Start(stop)
	seen.WaitForCacheSync(stop)
	go func() { // its heart beats for a health check that nobody asks
		for range beats {
		}
	}()

	tables, sets, err := netpol.NewIPTablesHandlers(config)
	must(err)
	var lock sync.Mutex
	found, err := netpol.NewNetworkPolicyController(client, config, pods, policies, spaces, &lock, tables, sets)
	must(err)
	for informer, handler := range map[cache.SharedIndexInformer]cache.ResourceEventHandler{
		pods: found.PodEventHandler, spaces: found.NamespaceEventHandler, policies: found.NetworkPolicyEventHandler,
	} {
		_, err := informer.AddEventHandler(handler)
		must(err)
	}
	done.Add(1)
	go found.Run(beats, stop, &done)

	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGINT, syscall.SIGTERM)
	<-told
	close(stop)
	done.Wait()
}
