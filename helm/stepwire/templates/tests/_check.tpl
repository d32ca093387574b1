{{/* A pod that ends well or not; . = {root, component, args, command, secrets} */}}
{{- define "stepwire.check" -}}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "stepwire.fullname" .root }}-{{ .component }}
  labels:
    {{- include "stepwire.labels" . | nindent 4 }}
    stepwire/role: job
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  restartPolicy: Never
  activeDeadlineSeconds: {{ .root.Values.tests.deadlineSeconds }}
  {{- include "stepwire.pod" (dict "root" .root "group" .root.Values.tests "account" (include "stepwire.account" .root)) | nindent 2 }}
  containers:
    - name: check
      {{- with .command }}
      command: {{ toJson . }}
      {{- end }}
      {{- with .args }}
      args: {{ toJson . }}
      {{- end }}
      {{- include "stepwire.container" (dict "root" .root "secrets" .secrets "resources" .root.Values.tests.resources) | nindent 6 }}
{{- end -}}
