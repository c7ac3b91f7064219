{{- /* The image: by digest where one is given, else by tag. */ -}}
{{- define "image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- /* The name of the variables' ConfigMap: a change of theirs makes new replicas. */ -}}
{{- define "variables" -}}
{{- $text := "" -}}
{{- range $name, $value := .Values.variables -}}
{{- $text = printf "%s%s=%s\x00" $text $name $value -}}
{{- end -}}
task-api-env-{{ $text | sha256sum | trunc 10 }}
{{- end -}}

{{- /* Secrets as variables, by name alone. */ -}}
{{- define "environment" -}}
- name: NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- range .Values.secrets }}
- name: {{ .variable | quote }}
  valueFrom:
    secretKeyRef:
      name: {{ $.Values.secretName | quote }}
      key: {{ .key | quote }}
{{- end }}
{{- end -}}

{{- /* The same with the plain variables, for what runs before their ConfigMap is there. */ -}}
{{- define "everything" -}}
{{ include "environment" . }}
{{- range $name, $value := .Values.variables }}
- name: {{ $name | quote }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- /* What the autoscaler follows. */ -}}
{{- define "metrics" -}}
- type: Pods
  pods:
    metric:
      name: mainstay_requests_in_flight
    target:
      type: AverageValue
      averageValue: {{ .Values.inFlight | quote }}
{{- if .Values.cpuPercent }}
- type: Resource
  resource:
    name: cpu
    target:
      type: Utilization
      averageUtilization: {{ .Values.cpuPercent }}
{{- end }}
{{- end -}}

{{- /* What KEDA follows. */ -}}
{{- define "triggers" -}}
- type: prometheus
  metadata:
    serverAddress: http://prometheus-operated.monitoring.svc:9090
    query: sum(mainstay_requests_in_flight{namespace="{{ .Release.Namespace }}"})
    threshold: {{ .Values.inFlight | quote }}
{{- if .Values.cpuPercent }}
- type: cpu
  metricType: Utilization
  metadata:
    value: {{ .Values.cpuPercent | quote }}
{{- end }}
{{- end -}}
