{{/* The environment of every process: addresses and passwords by secret, the rest by value. */}}
{{- define "renderfarm.env" -}}
{{- $values := .root.Values -}}
- name: DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ $values.secrets.database.name | quote }}, key: {{ $values.secrets.database.key | quote }}}}
- {name: PGAPPNAME, value: {{ .component }}} # as PostgreSQL shows whose connections they are
- name: REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ $values.secrets.redis.name | quote }}, key: {{ $values.secrets.redis.key | quote }}}}
{{- with $values.secrets.s3 }}
{{- if .name }}
- name: FARM_S3_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .name | quote }}, key: {{ .accessKey | quote }}}}
- name: FARM_S3_SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ .name | quote }}, key: {{ .secretKey | quote }}}}
{{- end }}
{{- end }}
- {name: FARM_STORAGE_URL, value: {{ $values.storage.url | quote }}}
- {name: FARM_S3_ENDPOINT, value: {{ $values.storage.endpoint | quote }}}
{{- with $values.storage.publicEndpoint }}
- {name: FARM_S3_PUBLIC_ENDPOINT, value: {{ . | quote }}}
{{- end }}
- {name: FARM_S3_REGION, value: {{ $values.storage.region | quote }}}
- {name: FARM_PUBLIC_URL, value: {{ $values.publicUrl | quote }}}
- {name: FARM_WORK_DIR, value: /work}
- {name: FARM_METRICS_HOST, value: 0.0.0.0}
- {name: FARM_METRICS_PORT, value: "9100"}
{{- range $name, $value := $values.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{/* For those that give out links to finished files, or take them back. What is not told is left out. */}}
{{- define "renderfarm.links" -}}
{{- $cdn := .root.Values.cdn -}}
{{- $style := $cdn.style | default (ternary "secure-link" "" $cdn.server.enabled) -}}
{{- $purge := $cdn.purgeUrls | default (ternary (include "renderfarm.cdnPods" .) "" $cdn.server.enabled) -}}
- {name: FARM_CDN_BASE, value: {{ $cdn.base | quote }}}
{{- range $name, $value := dict "STYLE" $style "KEY_ID" $cdn.keyId "DISTRIBUTION" $cdn.distribution "PURGE_URLS" $purge }}
{{- if $value }}
- {name: FARM_CDN_{{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}
{{- with .root.Values.secrets.cdn }}
{{- if .name }}
{{- $secret := .name }}
{{- range $name, $key := dict "SECRET" .secret "PRIVATE_KEY" .privateKey "PURGE_SECRET" .purgeSecret }}
- name: FARM_CDN_{{ $name }}
  valueFrom: {secretKeyRef: {name: {{ $secret | quote }}, key: {{ $key | quote }}, optional: true}}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
