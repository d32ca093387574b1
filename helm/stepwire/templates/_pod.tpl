{{/* Every variable of a container; . = {root, env, secrets, drain}. Without blobs.url the store is a folder that nobody can make
     on a root that is read-only: a worker whose app opens a store does not start, and says this name; doors take no files. */}}
{{- define "stepwire.env" -}}
{{- $values := .root.Values -}}
{{- $secrets := merge (dict) (.secrets | default dict) ($values.secrets | default dict) -}}
{{- $env := dict
  "STEPWIRE_APP" $values.app
  "STEPWIRE_BUS" $values.bus.url
  "STEPWIRE_PREFIX" $values.bus.prefix
  "STEPWIRE_BLOBS" ($values.blobs.url | default "/blobs-url-is-not-set-in-the-chart")
  "STEPWIRE_LOG" "json"
  "STEPWIRE_HTTP_HOST" "0.0.0.0"
  "HOME" "/tmp" -}}
{{- if .drain }}{{ $_ := set $env "STEPWIRE_WORKER__DRAIN" (toString .drain) }}{{ end -}}
{{- range $name, $value := $values.kafka }}
{{- $_ := set $env (printf "STEPWIRE_KAFKA__%s" ($name | upper | replace "." "_")) (toString $value) }}
{{- end -}}
{{- $env = mergeOverwrite $env (deepCopy ($values.env | default dict)) (deepCopy (.env | default dict)) -}}
{{- range $name, $value := $env }}
{{- if not (hasKey $secrets $name) }}
- {name: {{ $name }}, value: {{ toString $value | quote }}}
{{- end }}
{{- end }}
{{- range $name, $from := $secrets }}
- name: {{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $from.name }}, key: {{ $from.key | quote }}}}
{{- end }}
{{- end -}}

{{/* Of a container: what "restricted" pod security asks for, the variables and the folders; . = {root, env, secrets, from, maps, drain, resources, mounts, data, access} */}}
{{- define "stepwire.container" -}}
image: {{ include "stepwire.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
workingDir: {{ .root.Values.workingDir }}
securityContext:
  {{- toYaml .root.Values.containerSecurityContext | nindent 2 }}
env:
  {{- include "stepwire.env" . | trim | nindent 2 }}
{{- $maps := concat (.root.Values.configMapsFrom | default list) (.maps | default list) | uniq }}
{{- $from := concat (.root.Values.secretsFrom | default list) (.from | default list) | uniq }}
{{- if or $maps $from }}
envFrom: # of two with the same name the last one counts
  {{- range $maps }}
  - configMapRef: {name: {{ . }}}
  {{- end }}
  {{- range $from }}
  - secretRef: {name: {{ . }}}
  {{- end }}
{{- end }}
resources:
  {{- toYaml .resources | nindent 2 }}
volumeMounts:
  - {name: scratch, mountPath: /tmp, subPath: tmp}
  - {name: scratch, mountPath: {{ .root.Values.workingDir }}/.stepwire, subPath: stepwire}
  {{- if .data }}
  - {name: data, mountPath: /data}
  {{- end }}
  {{- with .access }}
  - {name: access, mountPath: /etc/stepwire, readOnly: true}
  {{- end }}
  {{- include "stepwire.added" (dict "all" .root.Values.extraVolumeMounts "own" .mounts "by" "mountPath") }}
{{- end -}}

{{/* Of a pod's template: what is changed here starts new pods, also a Secret's new value, by configVersion; . = {root, group, access} */}}
{{- define "stepwire.annotations" -}}
annotations:
  {{- $values := .root.Values }}
  checksum/config: {{ list $values.configVersion $values.app $values.bus $values.kafka $values.blobs $values.env $values.secrets $values.secretsFrom ($values.configMapsFrom | default list) (.group.env | default dict) (.group.secrets | default dict) (.group.secretsFrom | default list) (.group.configMapsFrom | default list) (.access | default dict) | toJson | sha256sum }}
  {{- with .group.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* Of a pod, beside its containers; . = {root, group, account, data, access} */}}
{{- define "stepwire.pod" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - {name: {{ if kindIs "string" . }}{{ . }}{{ else }}{{ .name }}{{ end }}}
  {{- end }}
{{- end }}
{{- with .group }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
volumes:
  - {name: scratch, emptyDir: {sizeLimit: {{ .group.scratch }}}}
  {{- if .data }}
  - name: data
    persistentVolumeClaim: {claimName: {{ .root.Values.storage.existingClaim | default (printf "%s-data" (include "stepwire.fullname" .root)) }}}
  {{- end }}
  {{- with .access }}
  - name: access
    secret: {secretName: {{ .secret }}, items: [{key: {{ .key | quote }}, path: access.toml}]}
  {{- end }}
  {{- include "stepwire.added" (dict "all" .root.Values.extraVolumes "own" .group.extraVolumes "by" "name") }}
{{- end -}}

{{/* Entries for every pod, and a part's own, which stand in the place of those of the same name; . = {all, own, by} */}}
{{- define "stepwire.added" -}}
{{- $taken := dict }}
{{- range .own }}{{ $_ := set $taken (get . $.by) true }}{{ end }}
{{- range .all }}
{{- if not (hasKey $taken (get . $.by)) }}
{{- toYaml (list .) | nindent 2 }}
{{- end }}
{{- end }}
{{- with .own }}
{{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Pods apart from each other where there is room; . = {root, component} */}}
{{- define "stepwire.spread" -}}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "stepwire.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end -}}
