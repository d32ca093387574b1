{{/* Why the value of a variable may not be seen, as JSON {why, sure}; {} where it may. `sure` is not what only looks so by its name;
     . = {name, value} */}}
{{- define "stepwire.secret" -}}
{{- $known := list "STEPWIRE_DECISION_KEY" "STEPWIRE_DOOR_KEY" "STEPWIRE_CONSOLE_SECRET" "STEPWIRE_CONSOLE_OIDC_SECRET" "STEPWIRE_KAFKA__SASL_PASSWORD" "STEPWIRE_KAFKA__SSL_KEY_PASSWORD" "STEPWIRE_REGISTRY__BASIC_AUTH_USER_INFO" "STEPWIRE_REGISTRY__SSL_KEY_PASSWORD" "ANTHROPIC_API_KEY" "AWS_SECRET_ACCESS_KEY" "AWS_SESSION_TOKEN" "SLACK_TOKEN" "GMAIL_TOKEN" "OTEL_EXPORTER_OTLP_HEADERS" "OTEL_EXPORTER_OTLP_TRACES_HEADERS" "OTEL_EXPORTER_OTLP_METRICS_HEADERS" "OTEL_EXPORTER_OTLP_LOGS_HEADERS" -}}
{{- $value := kindIs "invalid" .value | ternary "" (toString .value) -}}
{{- $why := "" -}}
{{- if has .name $known -}}
  {{- $why = "is a secret" -}}
{{- else if or (regexMatch "://[^/@:\\s]*:[^/@\\s]+@" $value) (regexMatch "(?i)(^|[?&;,\\s])(password|passwd|pwd|accountkey|sharedaccesskey|client_?secret|api_?key|access_?token)=[^&;,\\s]" $value) -}}
  {{- $why = "is a secret, it carries a password" -}}
{{- else if contains "PRIVATE KEY-----" $value -}}
  {{- $why = "is a secret, it holds a private key" -}}
{{- end -}}
{{- if $why -}}
{{ dict "why" $why "sure" true | toJson }}
{{- else if eq (include "stepwire.secret.named" (dict "name" (upper .name) "value" $value)) "yes" -}}
{{ dict "why" "is named like a secret" "sure" false | toJson }}
{{- else -}}
{}
{{- end -}}
{{- end -}}

{{/* "yes" for a name that ends as those of secrets do: DATABASE_PASSWORD, CRM_TOKEN, OPENAI_API_KEY_2. Keys are secrets but for those
     that order, find or are shown; a path, a switch and nothing at all are none under any name; . = {name in capitals, value} */}}
{{- define "stepwire.secret.named" -}}
{{- $secret := "((PASSWORD|PASSWD|PASSPHRASE|SECRET)S?|TOKEN|(^|_)PASS|_PWD|(^|_)CREDENTIALS?|(^|_)KEY|(API|ACCESS|PRIVATE|SECRET)_?KEYS?)_?[0-9]*$" -}}
{{- $harmless := "(^|_)(PARTITION|ROUTING|SHARD|SORT|ORDER|GROUP|RANGE|PRIMARY|FOREIGN|INDEX|HASH|CACHE|LOOKUP|OBJECT|RECORD|MESSAGE|EVENT|IDEMPOTENCY|DEDUPLICATION|FEATURE|PUBLIC|PUBLISHABLE)_?KEY_?[0-9]*$|_PER_TOKEN$" -}}
{{- $shown := "^(|(?i)true|false|yes|no|on|off|/[\\w.-]+(/[\\w.-]+)+)$" -}}
{{- if and (regexMatch $secret .name) (not (regexMatch $harmless .name)) (not (regexMatch $shown .value)) -}}
yes
{{- end -}}
{{- end -}}
