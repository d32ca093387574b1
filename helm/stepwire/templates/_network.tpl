{{/* Names first: without DNS nothing else can be reached */}}
{{- define "stepwire.egress" -}}
{{- if .Values.networkPolicy.egress -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{ toYaml .Values.networkPolicy.egress }}
{{- else -}}
- {}
{{- end -}}
{{- end -}}
