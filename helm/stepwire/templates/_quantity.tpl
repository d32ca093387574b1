{{/* Bytes of a quantity such as 5Gi, 1.5G or 1e9; a text */}}
{{- define "stepwire.bytes" -}}
{{- $said := toString . -}}
{{- $number := regexFind "^[0-9.]+([eE][+-]?[0-9]+)?" $said -}}
{{- $units := dict "" 1 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "Pi" 1125899906842624 "Ei" 1152921504606846976 -}}
{{- $unit := trimPrefix $number $said -}}
{{- if or (not $number) (not (hasKey $units $unit)) }}{{ fail (printf "%s is no amount of a disk: write 5Gi or 500Mi" $said) }}{{ end -}}
{{- mulf (float64 $number) (get $units $unit) -}}
{{- end -}}

{{/* A pod that fills its scratch must not be evicted for it; . = {place, scratch, resources} */}}
{{- define "stepwire.fits" -}}
{{- $limit := index (.resources.limits | default dict) "ephemeral-storage" -}}
{{- if $limit -}}
  {{- if gt (include "stepwire.bytes" .scratch | float64) (include "stepwire.bytes" $limit | float64) -}}
    {{- fail (printf "%s.scratch (%s) is above %s.resources.limits.ephemeral-storage (%v), which it counts against: the pod would be evicted; raise the limit or lower scratch" .place .scratch .place $limit) -}}
  {{- end -}}
{{- end -}}
{{- end -}}
