"""Decodes OTLP requests with OpenTelemetry's own generated classes, which share no code with ours.

Reads one `{"path": "/v1/logs", "body": "<base64>"}` a line, writes the request of each as a line of JSON.
"""

import base64
import json
import sys

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

requests = {
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/traces": ExportTraceServiceRequest,
}

for line in sys.stdin:
    told = json.loads(line)
    request = requests[told["path"]].FromString(base64.b64decode(told["body"]))
    # Bytes that it has no field for are kept, and count.
    size = request.ByteSize()
    request.DiscardUnknownFields()
    known = request.ByteSize() == size
    print(json.dumps({"path": told["path"], "known": known, "request": MessageToDict(request)}))
