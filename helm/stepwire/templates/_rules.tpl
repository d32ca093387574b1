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

{{/* Alerts that are to be turned off and that there are not, with those that begin most alike: three letters at least behind Stepwire */}}
{{- define "stepwire.refusals.alerts" -}}
{{- $alerts := list -}}
{{- range (.Files.Get "rules/stepwire.yaml" | fromYaml).groups -}}
  {{- range .rules }}{{ with .alert }}{{ $alerts = append $alerts . }}{{ end }}{{ end -}}
{{- end -}}
{{- range $name := .Values.monitoring.disabledAlerts -}}
  {{- if not (has $name $alerts) -}}
    {{- $near := list -}}
    {{- range $letters := untilStep (len $name) (len "Stepwire..") -1 -}}
      {{- range $alert := $near | empty | ternary $alerts list -}}
        {{- if hasPrefix (substr 0 $letters $name | lower) (lower $alert) }}{{ $near = append $near $alert }}{{ end -}}
      {{- end -}}
    {{- end -}}
    {{- $cure := $near | empty | ternary (printf "there are %s" ($alerts | sortAlpha | join ", ")) (printf "did you mean %s?" (join " or " $near)) -}}
    {{- fail (printf "monitoring.disabledAlerts: there is no alert %s; %s" $name $cure) -}}
  {{- end -}}
{{- end -}}
{{- end -}}
