{{/* Who serves HTTP: a Deployment, its Services, an Ingress and a route; . = {root, component, args}. The component is the name of its values. */}}
{{- define "stepwire.server" -}}
{{- $its := index .root.Values .component }}
{{- $name := printf "%s-%s" (include "stepwire.fullname" .root) .component }}
{{- $access := include "stepwire.access" . | fromJson }}
{{- $access = ternary $access nil (ne $access.secret "") }}
apiVersion: apps/v1
kind: Deployment
{{ include "stepwire.metadata" (dict "root" .root "component" .component "name" $name) }}
spec:
  {{- if not ($its.autoscaling | default dict).enabled }}
  replicas: {{ $its.replicas }}
  {{- end }}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  selector:
    matchLabels:
      {{- include "stepwire.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "stepwire.labels" (dict "root" .root "component" .component "role" .component "more" $its.podLabels) | nindent 8 }}
      {{- include "stepwire.annotations" (dict "root" .root "group" $its "access" $access) | nindent 6 }}
    spec:
      terminationGracePeriodSeconds: 30 # 5 until nobody sends here, 10 for what is under way
      {{- include "stepwire.pod" (dict "root" .root "group" $its "account" (include "stepwire.account" .root) "access" $access) | nindent 6 }}
      {{- include "stepwire.spread" . | nindent 6 }}
      containers:
        - name: {{ .component }}
          args:
            {{- range .args }}
            - {{ . | quote }}
            {{- end }}
            - --host=0.0.0.0
            - --port=8080
            - --http-port=9090
            - {{ ternary "--access=/etc/stepwire/access.toml" "--insecure" (ne $access nil) }}
          ports:
            - {name: http, containerPort: 8080}
            - {name: metrics, containerPort: 9090}
          startupProbe:
            httpGet: {path: /readyz, port: metrics}
            periodSeconds: 5
            failureThreshold: 60
          readinessProbe:
            httpGet: {path: /readyz, port: metrics}
            periodSeconds: 5
            timeoutSeconds: 5
          livenessProbe:
            httpGet: {path: /livez, port: metrics}
            periodSeconds: 15
            timeoutSeconds: 5
            failureThreshold: 6
          lifecycle: # the load balancer forgets a pod later than the pod hears of its end
            preStop: {sleep: {seconds: 5}}
          {{- include "stepwire.container" (dict "root" .root "env" $its.env "secrets" $its.secrets "from" $its.secretsFrom "maps" $its.configMapsFrom "resources" $its.resources "mounts" $its.extraVolumeMounts "access" $access) | nindent 10 }}
        {{- with $its.extraContainers }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
---
apiVersion: v1
kind: Service
{{ include "stepwire.metadata" (dict "root" .root "component" .component "name" $name "annotations" $its.service.annotations) }}
spec:
  type: {{ $its.service.type }}
  selector:
    {{- include "stepwire.selector" . | nindent 4 }}
  ports:
    - {name: http, port: {{ $its.service.port }}, targetPort: http}
{{- if .root.Values.monitoring.serviceMonitor }}
---
# Apart from the other one, which may be reachable from outside.
apiVersion: v1
kind: Service
{{ include "stepwire.metadata" (dict "root" .root "component" .component "name" (printf "%s-metrics" $name) "more" (dict "stepwire/serves" "metrics")) }}
spec:
  clusterIP: None
  selector:
    {{- include "stepwire.selector" . | nindent 4 }}
  ports:
    - {name: metrics, port: 9090, targetPort: metrics}
{{- end }}
{{- with $its.ingress }}
{{- if .enabled }}
{{- $hosts := include "stepwire.hosts" . | fromJsonArray }}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
{{ include "stepwire.metadata" (dict "root" $.root "component" $.component "name" $name "annotations" .annotations) }}
spec:
  {{- with .className }}
  ingressClassName: {{ . }}
  {{- end }}
  {{- with .tlsSecret }}
  tls:
    - {hosts: {{ toJson $hosts }}, secretName: {{ . }}}
  {{- end }}
  rules:
    {{- range $hosts }}
    - host: {{ . | quote }}
      http:
        paths:
          - path: {{ $its.ingress.path | quote }}
            pathType: {{ $its.ingress.pathType }}
            backend: {service: {name: {{ $name }}, port: {name: http}}}
    {{- end }}
{{- end }}
{{- end }}
{{- with $its.route }}
{{- if .enabled }}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
{{ include "stepwire.metadata" (dict "root" $.root "component" $.component "name" $name "annotations" .annotations) }}
spec:
  parentRefs:
    {{- toYaml .parents | nindent 4 }}
  {{- with .hosts }}
  hostnames: {{ toJson . }}
  {{- end }}
  rules:
    - matches: [{path: {type: PathPrefix, value: {{ .path | quote }}}}]
      backendRefs: [{name: {{ $name }}, port: {{ $its.service.port }}}]
{{- end }}
{{- end }}
{{- end -}}

{{/* All names of an Ingress; . = its values; as JSON */}}
{{- define "stepwire.hosts" -}}
{{- prepend (.hosts | default list) .host | uniq | toJson -}}
{{- end -}}

{{/* Who may come in there: its own access file, else the door's; as JSON */}}
{{- define "stepwire.access" -}}
{{- $its := index .root.Values .component -}}
{{- ternary $its.access .root.Values.door.access (ne $its.access.secret "") | toJson -}}
{{- end -}}

{{/* The names that clients call the MCP server by: requests for any other are refused; as JSON */}}
{{- define "stepwire.mcp.hosts" -}}
{{- $name := printf "%s-mcp" (include "stepwire.fullname" .) -}}
{{- $inside := printf "%s.%s" $name .Release.Namespace -}}
{{- $hosts := list $name $inside (printf "%s.svc" $inside) (printf "%s.svc.cluster.local" $inside) -}}
{{- with .Values.mcp.ingress }}{{ if .enabled }}{{ $hosts = include "stepwire.hosts" . | fromJsonArray | concat $hosts }}{{ end }}{{ end -}}
{{- with .Values.mcp.route }}{{ if .enabled }}{{ $hosts = concat $hosts (.hosts | default list) }}{{ end }}{{ end -}}
{{- concat $hosts .Values.mcp.allowHosts | uniq | toJson -}}
{{- end -}}

{{/* Where the runs' addresses that the MCP server tells begin */}}
{{- define "stepwire.doorUrl" -}}
{{- with .Values.door.ingress -}}
{{- if $.Values.mcp.doorUrl -}}
{{ $.Values.mcp.doorUrl }}
{{- else if and $.Values.door.enabled .enabled -}}
{{ ternary "https" "http" (ne .tlsSecret "") }}://{{ .host }}
{{- end -}}
{{- end -}}
{{- end -}}
