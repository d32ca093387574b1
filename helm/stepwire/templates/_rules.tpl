{{/* The file of rules with the thresholds of this release. There a number has its name behind it, as a comment of PromQL: 900 # lagSeconds */}}
{{- define "stepwire.rules" -}}
{{- $rules := .Files.Get "rules/stepwire.yaml" -}}
{{- range $name, $value := .Values.monitoring.thresholds -}}
  {{- $marked := printf "[0-9.]+ # %s\n" $name -}}
  {{- if not (regexMatch $marked $rules) -}}
    {{- fail (printf "monitoring.thresholds.%s: no rule has a number of that name" $name) -}}
  {{- end -}}
  {{- $rules = regexReplaceAllLiteral $marked $rules (printf "%s # %s\n" (toJson $value) $name) -}}
{{- end -}}
{{- $rules -}}
{{- end -}}
