{{- define "stepwire.fullname" -}}
{{- contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* What never changes of an object; . = {root, component} */}}
{{- define "stepwire.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "stepwire.labels" -}}
{{ include "stepwire.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: {{ .root.Chart.Name }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "stepwire.account" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "stepwire.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* Of the Job before an install, when the release's own does not exist yet */}}
{{- define "stepwire.account.topics" -}}
{{- include "stepwire.account" . }}{{ if .Values.serviceAccount.create }}-topics{{ end }}
{{- end -}}

{{- define "stepwire.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{/* The groups of handlers, each with what it does not say itself, as JSON: {name: group} */}}
{{- define "stepwire.groups" -}}
{{- $groups := dict -}}
{{- range $name, $own := .Values.workers | default (dict "all" dict) -}}
{{- $_ := set $groups $name (mergeOverwrite (deepCopy $.Values.defaults) (deepCopy ($own | default dict))) -}}
{{- end -}}
{{- $groups | toJson -}}
{{- end -}}

{{/* Who serves HTTP in this release, by the names of their values; as JSON */}}
{{- define "stepwire.servers" -}}
{{- $found := list -}}
{{- range $name := list "door" "console" "mcp" -}}
{{- if (index $.Values $name).enabled }}{{ $found = append $found $name }}{{ end -}}
{{- end -}}
{{- $found | toJson -}}
{{- end -}}

{{/* The most pods that a group may have */}}
{{- define "stepwire.most" -}}
{{- eq .autoscaling.kind "none" | ternary .replicas .autoscaling.maxReplicas | int -}}
{{- end -}}
