{{/*
Names in one place. The release's name comes first; a component's name, such as `api` or `worker-v3`, last.
Call with (dict "root" $ "component" "api").
*/}}
{{- define "renderfarm.fullname" -}}
{{- $release := .root.Release.Name -}}
{{- $base := ternary $release (printf "%s-renderfarm" $release) (contains "renderfarm" $release) -}}
{{- printf "%s-%s" ($base | trunc 48 | trimSuffix "-") .component -}}
{{- end }}

{{/* What all pods of a release have. Selectors cannot be changed: an upgrade finds the pods by these as they are.
A release may be called 123, which YAML takes for a number.
*/}}
{{- define "renderfarm.release" -}}
app.kubernetes.io/name: renderfarm
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- end }}

{{- define "renderfarm.selector" -}}
{{ include "renderfarm.release" . }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "renderfarm.labels" -}}
{{ include "renderfarm.selector" . }}
app.kubernetes.io/version: {{ include "renderfarm.tag" . | regexFind "[A-Za-z0-9].{0,62}" | regexFind "^.*[A-Za-z0-9]" | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "renderfarm.metadata" -}}
name: {{ include "renderfarm.fullname" . }}
labels: {{- include "renderfarm.labels" . | nindent 2 }}
{{- end }}

{{- define "renderfarm.tag" -}}
{{ .root.Values.image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{/* `image` names one of the values' images; the farm's own one unless told otherwise. */}}
{{- define "renderfarm.image" -}}
{{- $image := index .root.Values.images (.image | default "api") -}}
{{- with .root.Values.image.registry }}{{ . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ include "renderfarm.tag" . }}{{ end -}}
{{- end }}

{{/* What every pod of the farm has; the template that includes it adds its containers and volumes. */}}
{{- define "renderfarm.pod" -}}
enableServiceLinks: false # FLOWER_PORT=tcp://... of a service named flower would be read as a setting
automountServiceAccountToken: {{ hasKey . "account" }}
{{- with .account | default .root.Values.serviceAccount.name }}
serviceAccountName: {{ . | quote }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  {{- $user := .user | default 10001 }}
  runAsUser: {{ $user }}
  runAsGroup: {{ $user }}
  fsGroup: {{ $user }}
  fsGroupChangePolicy: OnRootMismatch # a volume of weights is large
  seccompProfile: {type: RuntimeDefault}
{{- with .spread }}
topologySpreadConstraints:
  {{- range . }}
  - topologyKey: {{ . | quote }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "renderfarm.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "renderfarm.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* What every container of the farm has, but its `args`: the command. The image has an entrypoint before it. */}}
{{- define "renderfarm.container" -}}
image: {{ include "renderfarm.image" . | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext: {{- include "renderfarm.containerSecurity" . | nindent 2 }}
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

{{/* How Prometheus finds a pod's metrics where pods are discovered by annotation, and no operator looks for them. */}}
{{- define "renderfarm.scrape" -}}
{{- if not .root.Values.monitoring.enabled }}
prometheus.io/scrape: "true"
prometheus.io/port: "9100"
{{- end }}
{{- end }}

{{/* Of a component whose pods are all alike: one at a time may be taken from it, and a broken one always. */}}
{{- define "renderfarm.disruption" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{- include "renderfarm.metadata" . | nindent 2 }}
spec:
  maxUnavailable: {{ .maxUnavailable | default 1 }}
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "renderfarm.selector" . | nindent 6 }}
{{- end }}
