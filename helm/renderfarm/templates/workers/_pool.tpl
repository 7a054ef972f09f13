{{/* The nodes that a pool's pods may take. */}}
{{- define "renderfarm.place" -}}
{{- with .runtimeClassName }}
runtimeClassName: {{ . | quote }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "renderfarm.workerResources" -}}
{{- with .resources.requests -}}
requests: {{- toYaml . | nindent 2 }}
{{- end }}
limits:
  {{- with .resources.limits }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if .gpus }}
  {{ .gpuResource }}: {{ .gpus }}
  {{- end }}
{{- end }}

{{- define "renderfarm.workerProbe" }}
exec: {command: [python, -m, workers, health, {{ . }}]}
timeoutSeconds: 20
{{- end }}

{{/*
How many workers a queue has something to do for: units that wait or run, and the idle ones that are to be there.
Of one account no more normal units run at once than its cap; a worker for each of the others would stand idle.
Call with (dict "root" $ "queue" "v3" "headroom" 0).
*/}}
{{- define "renderfarm.demand" -}}
SELECT CAST({{ .headroom }} + coalesce(sum(units), 0) AS bigint) FROM (
  SELECT CASE WHEN fast THEN count(*) ELSE least(count(*), {{ get .root.Values.settings "FARM_ACCOUNT_RUNNING_CAP" | default 4 }}) END AS units
  FROM units
  WHERE queue = '{{ .queue }}' AND status IN ('waiting', 'admitted', 'running')
  GROUP BY account_id, fast
) AS accounts
{{- end }}
