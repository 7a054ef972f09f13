{{/* The store as nginx asks it, and the addresses at which each pod is told to forget a file. */}}
{{- define "renderfarm.cdnOrigin" -}}
{{- .root.Values.storage.endpoint | trimSuffix "/" | default (printf "https://s3.%s.amazonaws.com" .root.Values.storage.region) -}}
{{- end }}

{{- define "renderfarm.cdnPods" -}}
{{- $name := include "renderfarm.fullname" (dict "root" .root "component" "cdn") -}}
{{- $urls := list -}}
{{- range $number := until (int .root.Values.cdn.server.replicas) -}}
{{- $urls = append $urls (printf "http://%s-%d.%s-pods.%s:8080" $name $number $name $.root.Release.Namespace) -}}
{{- end -}}
{{- join "," $urls -}}
{{- end }}
