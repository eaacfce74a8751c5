"""How schemathesis sends what it has no words for: files go as the bytes that they are."""

import schemathesis

schemathesis.serializer.alias(["application/offset+octet-stream", "application/x-subrip"], "application/octet-stream")
