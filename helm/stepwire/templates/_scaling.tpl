{{- define "stepwire.behavior" -}}
behavior:
  scaleUp: {stabilizationWindowSeconds: 0}
  scaleDown:
    stabilizationWindowSeconds: {{ .scaleDownStabilizationSeconds }}
    policies: [{type: Pods, value: 1, periodSeconds: 120}]
{{- end -}}

{{/* . = {root, component, target, min, max, cpu, more, behavior} */}}
{{- define "stepwire.hpa" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
{{ include "stepwire.metadata" (dict "root" .root "component" .component "name" .target) }}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: {{ .target }}}
  minReplicas: {{ .min }}
  maxReplicas: {{ .max }}
  metrics:
    {{- if .cpu }}
    - type: Resource
      resource: {name: cpu, target: {type: Utilization, averageUtilization: {{ .cpu }}}}
    {{- end }}
    {{- with .more }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .behavior }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}
