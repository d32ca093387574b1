{{/* Has a part a secret, as a variable or as a file: "yes", "no", or "unseen", for which keys those of secretsFrom have cannot be
     known here; . = {root, its, name} */}}
{{- define "stepwire.has" -}}
{{- $values := .root.Values -}}
{{- $said := merge (dict) (.its.secrets | default dict) ($values.secrets | default dict) -}}
{{- $files := merge (dict) (.its.env | default dict) ($values.env | default dict) -}}
{{- if or (hasKey $said .name) (hasKey $files (printf "%s_FILE" .name)) -}}
yes
{{- else -}}
{{ empty (concat (.its.secretsFrom | default list) ($values.secretsFrom | default list)) | ternary "no" "unseen" }}
{{- end -}}
{{- end -}}

{{/* Where a setting belongs that the chart makes itself: said in `env` it would go behind the chart's back; . = {name, place} */}}
{{- define "stepwire.belongs" -}}
{{- $drain := hasPrefix "workers." .place | ternary (trimSuffix ".env" .place | trimSuffix ".secrets" | printf "%s.drainSeconds") "defaults.drainSeconds" -}}
{{- $own := dict
  "STEPWIRE_APP" "app"
  "STEPWIRE_BUS" "bus.url"
  "STEPWIRE_PREFIX" "bus.prefix"
  "STEPWIRE_BLOBS" "blobs.url"
  "STEPWIRE_WORKER__DRAIN" $drain
  "STEPWIRE_DOOR_ACCESS" "door.access.secret, console.access.secret or mcp.access.secret" -}}
{{- if hasKey $own .name -}}
say it in {{ get $own .name }}
{{- else if has .name (list "STEPWIRE_HTTP_HOST" "STEPWIRE_HTTP_PORT") -}}
leave it out: probes and Prometheus ask port 9090 of the pod
{{- else if and (hasPrefix "STEPWIRE_KAFKA__" .name) (hasSuffix ".env" (printf ".%s" .place)) (not (hasSuffix "PASSWORD_FILE" .name)) -}}
say it in kafka: {{ trimPrefix "STEPWIRE_KAFKA__" .name | lower | replace "_" "." | printf "{%s: …}" }}, which every pod has, also the Job that makes topics
{{- end -}}
{{- end -}}

{{/* Settings in the wrong place */}}
{{- define "stepwire.refusals.settings" -}}
{{- range $name := list "sasl.password" "ssl.key.password" -}}
  {{- if hasKey ($.Values.kafka | default dict) $name -}}
    {{- fail (printf "kafka.%s is a secret: put it into a Secret and name that: secrets: {STEPWIRE_KAFKA__%s: {name: SECRET, key: KEY}}" $name ($name | upper | replace "." "_")) -}}
  {{- end -}}
{{- end -}}
{{- $parts := dict "" .Values "defaults." .Values.defaults "door." .Values.door "console." .Values.console "mcp." .Values.mcp -}}
{{- range $name, $group := .Values.workers }}{{ $_ := set $parts (printf "workers.%s." $name) ($group | default dict) }}{{ end -}}
{{- range $part, $its := $parts -}}
  {{- range $name, $value := $its.env -}}
    {{- with include "stepwire.secret" (dict "name" $name "value" $value) | fromJson -}}
      {{- $none := .sure | ternary "" (printf "; if it is none, put it into a ConfigMap and name that: %sconfigMapsFrom: [CONFIGMAP]" $part) -}}
      {{- fail (printf "%senv.%s %s: put it into a Secret and name that: %ssecrets: {%s: {name: SECRET, key: KEY}}%s" $part $name .why $part $name $none) -}}
    {{- end -}}
  {{- end -}}
  {{- range $at, $one := $its.extraContainers -}}
    {{- range $said := $one.env -}}
      {{- with include "stepwire.secret" (dict "name" $said.name "value" $said.value) | fromJson -}}
        {{- $none := .sure | ternary "" "; if it is none, with configMapKeyRef" -}}
        {{- fail (printf "%sextraContainers[%d].env: %s %s: put it into a Secret and name that in place of its value: valueFrom: {secretKeyRef: {name: SECRET, key: KEY}}%s" $part $at $said.name .why $none) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- range $kind := list "env" "secrets" -}}
    {{- range $name, $_ := index $its $kind -}}
      {{- $place := printf "%s%s" $part $kind -}}
      {{- with include "stepwire.belongs" (dict "name" $name "place" $place) -}}
        {{- fail (printf "%s.%s: the chart sets it itself; %s" $place $name .) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- end -}}
