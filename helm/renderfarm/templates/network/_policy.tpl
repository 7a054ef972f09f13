{{/* One permission: a policy for the pods of some components. Call with (dict "root" $ "component" "to-x" "pods" (list ...)). */}}
{{- define "renderfarm.policy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{- include "renderfarm.metadata" . | nindent 2 }}
spec:
  podSelector:
    matchLabels: {{- include "renderfarm.release" . | nindent 6 }}
    {{- with .pods }}
    matchExpressions:
      - {key: app.kubernetes.io/component, operator: In, values: [{{ join ", " . }}]}
    {{- end }}
{{- end }}

{{- define "renderfarm.cidrs" -}}
{{- range . }}
- ipBlock: {cidr: {{ . | quote }}}
{{- end }}
{{- end }}

{{/* Where the store listens, as its endpoint says. */}}
{{- define "renderfarm.storagePort" -}}
{{- $url := urlParse (.root.Values.storage.endpoint | default "https://") -}}
{{- regexFind ":[0-9]+$" $url.host | trimPrefix ":" | default (ternary "80" "443" (eq $url.scheme "http")) -}}
{{- end }}

{{/*
All that renderfarm/fetch/address.py refuses, too, before a name is even asked for: what is not of the internet.
*/}}
{{- define "renderfarm.notInternet" -}}
0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
2001::/23 2001:db8::/32 2002::/16 3ffe::/16 3fff::/20
{{- end }}

{{/* The internet of one family: (dict "root" $ "cidr" "0.0.0.0/0" "family" "[.]"); of IPv6 what is routed. */}}
{{- define "renderfarm.internet" -}}
{{- $family := .family -}}
- ipBlock:
    cidr: {{ .cidr | quote }}
    except:
      {{- range concat (include "renderfarm.notInternet" . | splitList "\n" | join " " | splitList " ") .root.Values.networkPolicy.notInternet }}
      {{- if regexMatch $family . }}
      - {{ . | quote }}
      {{- end }}
      {{- end }}
{{- end }}
