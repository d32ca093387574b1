{{- define "stepwire.fullname" -}}
{{- contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* What never changes of an object; . = {root, component} */}}
{{- define "stepwire.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* What is selected by stays; the user's own go before the usual ones; . = {root, component, role, more} */}}
{{- define "stepwire.labels" -}}
{{- $kept := include "stepwire.selector" . | fromYaml -}}
{{- with .role }}{{ $_ := set $kept "stepwire/role" . }}{{ end -}}
{{- $usual := dict
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/part-of" .root.Chart.Name
  "app.kubernetes.io/managed-by" .root.Release.Service
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version) -}}
{{- merge $kept (.more | default dict) (.root.Values.commonLabels | default dict) $usual | toYaml -}}
{{- end -}}

{{/* Of every object; . = {root, component, name, more, annotations} */}}
{{- define "stepwire.metadata" -}}
metadata:
  name: {{ .name }}
  labels:
    {{- include "stepwire.labels" . | nindent 4 }}
  {{- with merge (dict) (.annotations | default dict) (.root.Values.commonAnnotations | default dict) }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
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
