{{/*
Names in one place. The release's name comes first; a component's name, such as `api` or `worker-v3`, last.
Call with (dict "root" $ "component" "api").
*/}}
{{- define "renderfarm.fullname" -}}
{{- $release := .root.Release.Name -}}
{{- $base := ternary $release (printf "%s-renderfarm" $release) (contains "renderfarm" $release) -}}
{{- printf "%s-%s" ($base | trunc 48 | trimSuffix "-") .component -}}
{{- end }}

{{- define "renderfarm.selector" -}}
app.kubernetes.io/name: renderfarm
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "renderfarm.labels" -}}
{{ include "renderfarm.selector" . }}
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* What every pod of the farm has; the template that includes it adds its containers and volumes. */}}
{{- define "renderfarm.pod" -}}
enableServiceLinks: false # FLOWER_PORT=tcp://... of a service named flower would be read as a setting
automountServiceAccountToken: false
{{- with .root.Values.serviceAccount.name }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* What every container of the farm has, but its command. */}}
{{- define "renderfarm.container" -}}
image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  - {name: work, mountPath: /work}
{{- end }}

{{/* Scratch that goes with the pod. */}}
{{- define "renderfarm.volumes" -}}
- name: tmp
  emptyDir: {}
- name: work
  emptyDir: {{ with .scratch }}{sizeLimit: {{ . }}}{{ else }}{}{{ end }}
{{- end }}

{{/* The environment of every process: addresses and passwords by secret, the rest by value. */}}
{{- define "renderfarm.env" -}}
{{- $values := .root.Values -}}
- name: DATABASE_URL
  valueFrom: {secretKeyRef: {name: {{ $values.secrets.database.name }}, key: {{ $values.secrets.database.key }}}}
- name: REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ $values.secrets.redis.name }}, key: {{ $values.secrets.redis.key }}}}
{{- with $values.secrets.s3 }}
{{- if .name }}
- name: FARM_S3_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .accessKey }}}}
- name: FARM_S3_SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ .name }}, key: {{ .secretKey }}}}
{{- end }}
{{- end }}
- {name: FARM_STORAGE_URL, value: {{ $values.storage.url | quote }}}
- {name: FARM_S3_ENDPOINT, value: {{ $values.storage.endpoint | quote }}}
- {name: FARM_S3_REGION, value: {{ $values.storage.region | quote }}}
- {name: FARM_CDN_BASE, value: {{ $values.storage.cdnBase | quote }}}
- {name: FARM_PUBLIC_URL, value: {{ $values.publicUrl | quote }}}
- {name: FARM_WORK_DIR, value: /work}
- {name: FARM_METRICS_HOST, value: 0.0.0.0}
- {name: FARM_METRICS_PORT, value: "9100"}
{{- range $name, $value := $values.settings }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- end }}

{{/* How Prometheus finds a pod's metrics where pods are discovered by annotation. */}}
{{- define "renderfarm.scrape" -}}
prometheus.io/scrape: "true"
prometheus.io/port: "9100"
{{- end }}
