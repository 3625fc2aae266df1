"""What travels on the wire: the messages of remote write, and the code that protoc makes of them.

`make wire` makes the code anew from the .proto files. They keep the field numbers of Prometheus' own definitions
(prompb/types.proto, prompb/remote.proto, prompb/io/prometheus/write/v2/types.proto) and only those fields that are
read; the others are passed over, as the format provides. Histograms and exemplars are only counted.
"""
