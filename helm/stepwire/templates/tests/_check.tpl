{{/* A pod that ends well or not; . = {root, component, args, command, secrets} */}}
{{- define "stepwire.check" -}}
apiVersion: v1
kind: Pod
{{- $its := .root.Values.tests }}
{{- $name := printf "%s-%s" (include "stepwire.fullname" .root) .component }}
{{- $hook := dict "helm.sh/hook" "test" "helm.sh/hook-delete-policy" "before-hook-creation,hook-succeeded" }}
{{ include "stepwire.metadata" (dict "root" .root "component" .component "name" $name "role" "job" "more" $its.podLabels "annotations" (merge $hook ($its.podAnnotations | default dict))) }}
spec:
  restartPolicy: Never
  activeDeadlineSeconds: {{ $its.deadlineSeconds }}
  {{- include "stepwire.pod" (dict "root" .root "group" $its "account" (include "stepwire.account" .root)) | nindent 2 }}
  containers:
    - name: check
      {{- with .command }}
      command: {{ toJson . }}
      {{- end }}
      {{- with .args }}
      args: {{ toJson . }}
      {{- end }}
      {{- include "stepwire.container" (dict "root" .root "secrets" .secrets "resources" $its.resources) | nindent 6 }}
{{- end -}}
