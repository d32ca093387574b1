{{/* What makes no sense together is refused here, each with its cure. The shape of values is the schema's business. */}}
{{- define "stepwire.refusals" -}}
{{- $groups := include "stepwire.groups" . | fromJson -}}
{{- $servers := include "stepwire.servers" . | fromJsonArray -}}
{{- $local := hasPrefix "sqlite:" .Values.bus.url -}}
{{- $folder := and .Values.blobs.url (not (hasPrefix "s3://" .Values.blobs.url)) -}}
{{- if or $local $folder -}}
  {{- $what := $local | ternary (printf "bus.url is a file (%s)" .Values.bus.url) (printf "attachments lie in a folder (blobs.url: %s)" .Values.blobs.url) -}}
  {{- $cure := $local | ternary "use bus.url: kafka://host:port" "use blobs.url: s3://bucket/prefix" -}}
  {{- range $name, $group := $groups -}}
    {{- if gt (include "stepwire.most" $group | int) 1 -}}
      {{- fail (printf "workers.%s may have %s pods, but %s, which one pod mounts: %s, or replicas: 1 without autoscaling" $name (include "stepwire.most" $group) $what $cure) -}}
    {{- end -}}
  {{- end -}}
  {{- if gt (len $groups) 1 -}}
    {{- fail (printf "workers has %d groups, but %s, which one pod mounts: %s, or keep all handlers in one group" (len $groups) $what $cure) -}}
  {{- end -}}
  {{- range $name := $servers -}}
    {{- if or $local (ne $name "console") -}}
      {{- fail (printf "%s.enabled: %s, which one pod mounts: %s" $name $what $cure) -}}
    {{- end -}}
  {{- end -}}
  {{- if not .Values.storage.enabled -}}
    {{- fail (printf "%s, and without a volume it is gone with the pod: set storage.enabled and a path below /data; or %s" $what $cure) -}}
  {{- end -}}
  {{- if and $folder (not (hasPrefix "/data/" (trimPrefix "file://" .Values.blobs.url))) -}}
    {{- fail (printf "blobs.url: %s is not below /data, where the volume is: use /data/blobs" .Values.blobs.url) -}}
  {{- end -}}
  {{- if and $local (not (hasPrefix "sqlite:////data/" .Values.bus.url)) -}}
    {{- fail (printf "bus.url: %s is not below /data, where the volume is: use sqlite:////data/bus.db" .Values.bus.url) -}}
  {{- end -}}
{{- end -}}
{{- if and $local (ne .Values.bus.prefix "") -}}
  {{- fail "bus.prefix is for names on Kafka; a bus in a file has none: leave it empty" -}}
{{- end -}}
{{- range $name := list "door" "console" "mcp" "workers" "jobs" "topics" "data" "metrics" -}}
  {{- if hasKey ($.Values.workers | default dict) $name -}}
    {{- fail (printf "workers.%s: the chart has something of that name itself; call the group otherwise" $name) -}}
  {{- end -}}
{{- end -}}
{{- $prefix := .Values.bus.prefix | default "" -}}
{{- $protocol := get (.Values.kafka | default dict) "security.protocol" | toString | default "PLAINTEXT" -}}
{{- range $name, $group := $groups -}}
  {{- with $group.autoscaling -}}
    {{- if and (ne .kind "none") (lt (int .maxReplicas) (int .minReplicas)) -}}
      {{- fail (printf "workers.%s.autoscaling: maxReplicas %d is below minReplicas %d" $name (int .maxReplicas) (int .minReplicas)) -}}
    {{- end -}}
    {{- if and (eq .kind "keda") (not .keda.triggers) -}}
      {{- fail (printf "workers.%s.autoscaling.keda.triggers is empty: name what to scale for: {group: APP.HANDLER, topic: TOPIC, lagThreshold: 20}" $name) -}}
    {{- end -}}
    {{- if and (eq .kind "keda") (ne $protocol "PLAINTEXT") (not .keda.authentication) -}}
      {{- fail (printf "workers.%s.autoscaling.keda.authentication is empty, but kafka.security.protocol is %s, and KEDA does not have what pods reach Kafka with: name a TriggerAuthentication with what it needs of sasl, username, password, tls, ca, cert, key (docs/kubernetes.md has an example)" $name $protocol) -}}
    {{- end -}}
    {{- /* a group is APP.HANDLER: what is no such pair without the prefix begins so by chance, as those of `acme` under `acme.` do */ -}}
    {{- $twice := printf "^%s[A-Za-z_][\\w-]*\\.[A-Za-z_][\\w-]*$" (regexQuoteMeta $prefix) -}}
    {{- range eq .kind "keda" | ternary .keda.triggers list -}}
      {{- if and (hasSuffix "." $prefix) (regexMatch $twice .group) -}}
        {{- fail (printf "workers.%s.autoscaling.keda.triggers: the group %s begins with bus.prefix already, which the chart puts before it, so it would look at %s%s: name group and topic without the prefix: {group: %s, …}" $name .group $prefix .group (trimPrefix $prefix .group)) -}}
      {{- end -}}
    {{- end -}}
    {{- if and (eq .kind "hpa") (not .hpa.cpu) (not .hpa.metrics) -}}
      {{- fail (printf "workers.%s.autoscaling.hpa has nothing to scale by: cpu is 0, and metrics is empty" $name) -}}
    {{- end -}}
    {{- if and (eq .kind "hpa") .hpa.cpu (not ($group.resources.requests | default dict).cpu) -}}
      {{- fail (printf "workers.%s: an HPA measures CPU against resources.requests.cpu, which is not set" $name) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- with .Values.door }}
{{- if and .enabled (not .access.secret) (not .insecure) -}}
  {{- fail "door.enabled, but nobody may come in: name the Secret of its access file in door.access.secret, or let everybody do everything with door.insecure: true" -}}
{{- end -}}
{{- if and .access.secret .insecure -}}
  {{- fail "door.insecure and door.access.secret contradict each other: give one" -}}
{{- end -}}
{{- end -}}
{{- range $name := without $servers "door" -}}
  {{- if not (include "stepwire.access" (dict "root" $ "component" $name) | fromJson).secret -}}
    {{- fail (printf "%s.enabled, but nobody may come in: name the Secret of its access file in %s.access.secret, or the door's in door.access.secret" $name $name) -}}
  {{- end -}}
{{- end -}}
{{- with .Values.console -}}
{{- $has := include "stepwire.has" (dict "root" $ "its" . "name" "STEPWIRE_CONSOLE_SECRET") -}}
{{- if and .enabled (gt (int .replicas) 1) (ne $has "yes") -}}
  {{- $unseen := eq $has "no" | ternary "" " (which keys those of secretsFrom have cannot be seen here: if one has it, name it so)" -}}
  {{- fail (printf "console.replicas: %d consoles know each other's sessions only by one secret: console.secrets: {STEPWIRE_CONSOLE_SECRET: {name: SECRET, key: KEY}}%s" (int .replicas) $unseen) -}}
{{- end -}}
{{- end -}}
{{- $disks := dict "door" .Values.door "console" .Values.console "mcp" .Values.mcp "topics.apply" .Values.topics.apply "tests" .Values.tests -}}
{{- range $name, $group := $groups }}{{ $_ := set $disks (printf "workers.%s" $name) $group }}{{ end -}}
{{- range $place, $one := $disks -}}
  {{- include "stepwire.fits" (dict "place" $place "scratch" $one.scratch "resources" $one.resources) -}}
{{- end -}}
{{- if and .Values.tests.publish.key (not .Values.door.enabled) -}}
  {{- fail "tests.publish.key is a key of the door, and door.enabled is false: without a door the test publishes from the bus, so leave it out" -}}
{{- end -}}
{{- if and .Values.storage.enabled (not .Values.storage.existingClaim) (not (or $local $folder)) -}}
  {{- $cure := "set storage.enabled: false, or name a claim that many pods may mount (ReadWriteMany) in storage.existingClaim" -}}
  {{- range $name, $group := $groups -}}
    {{- if gt (include "stepwire.most" $group | int) 1 -}}
      {{- fail (printf "workers.%s may have %s pods, and storage.enabled gives them one volume that one node mounts (ReadWriteOnce): %s" $name (include "stepwire.most" $group) $cure) -}}
    {{- end -}}
  {{- end -}}
  {{- if gt (len $groups) 1 -}}
    {{- fail (printf "workers has %d groups, and storage.enabled gives them one volume that one node mounts (ReadWriteOnce): %s" (len $groups) $cure) -}}
  {{- end -}}
{{- end -}}
{{- range $name, $one := include "stepwire.budgets" . | fromJson -}}
  {{- $kept := $one.budget.minAvailable -}}
  {{- if and $kept (or (eq (toString $kept) "100%") (and (not (kindIs "string" $kept)) (ge (int $kept) (int $one.least)))) -}}
    {{- fail (printf "%s.podDisruptionBudget.minAvailable: %v of %v pods leaves none that may go, and a drain of their node would never end: say less, or maxUnavailable: 1" $one.place $kept $one.least) -}}
  {{- end -}}
{{- end -}}
{{- include "stepwire.refusals.settings" . -}}
{{- include "stepwire.refusals.alerts" . -}}
{{- end -}}
