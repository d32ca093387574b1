{{/* The budgets of this release: {name: {place, budget, least}}, as JSON. Who has one pod at most has none: it would never be
     evicted, or a budget would say nothing. `least` are the pods that are there before a scaler adds any. */}}
{{- define "stepwire.budgets" -}}
{{- $found := dict -}}
{{- range $name, $group := include "stepwire.groups" . | fromJson -}}
  {{- $least := eq $group.autoscaling.kind "none" | ternary $group.replicas $group.autoscaling.minReplicas -}}
  {{- if and $group.podDisruptionBudget.enabled (gt (include "stepwire.most" $group | int) 1) -}}
    {{- $_ := set $found $name (dict "place" (printf "workers.%s" $name) "budget" $group.podDisruptionBudget "least" $least) -}}
  {{- end -}}
{{- end -}}
{{- range $name := include "stepwire.servers" . | fromJsonArray -}}
  {{- $its := index $.Values $name -}}
  {{- $scaled := ($its.autoscaling | default dict).enabled | default false -}}
  {{- $most := $scaled | ternary ($its.autoscaling | default dict).maxReplicas $its.replicas -}}
  {{- $least := $scaled | ternary ($its.autoscaling | default dict).minReplicas $its.replicas -}}
  {{- if and $its.podDisruptionBudget.enabled (gt (int $most) 1) -}}
    {{- $_ := set $found $name (dict "place" $name "budget" $its.podDisruptionBudget "least" $least) -}}
  {{- end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}
