{{/* Names first: without DNS nothing else can be reached */}}
{{- define "stepwire.egress" -}}
{{- if .Values.networkPolicy.egress -}}
- ports:
    {{- range .Values.networkPolicy.dnsPorts }}
    - {port: {{ . }}, protocol: UDP}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{ toYaml .Values.networkPolicy.egress }}
{{- else -}}
- {}
{{- end -}}
{{- end -}}
