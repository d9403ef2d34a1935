/* TLS of a client without I/O: OpenSSL over memory, with a context of our own.
 *
 * The peer's certificate chain and its host name are always verified; there is no switch to turn
 * that off, and nothing here ever goes on in plain text. TLS 1.2 at least, no renegotiation, no
 * compression, ALPN "http/1.1". The host name is sent as SNI unless it is an address. */
#ifndef OVERROUND_TLS_CLIENT_H
#define OVERROUND_TLS_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#include "overround/ws_frame.h"

#define OVR_TLS_WHY_BYTES 192

struct ovr_tls_context;
struct ovr_tls;

/* Trust these authorities; NULL for OpenSSL's own default of that kind. Returns NULL and a reason
 * in `why` (OVR_TLS_WHY_BYTES) if a file cannot be read. */
struct ovr_tls_context *ovr_tls_context_create(const char *ca_file, const char *ca_folder,
                                               char *why);
void ovr_tls_context_destroy(struct ovr_tls_context *context);
const char *ovr_tls_library(void); /* "OpenSSL 3.0.19 ..." as linked */

/* Returns NULL if memory cannot be had or the host name cannot be one. */
struct ovr_tls *ovr_tls_create(struct ovr_tls_context *context, const char *host);
void ovr_tls_destroy(struct ovr_tls *tls);

/* Each of these appends what is to be sent to `out` (growing up to `limit`). They return 0, or
 * -EPROTO when the session is over for a reason in ovr_tls_why, -ENOBUFS, -ENOMEM. */

/* Begin, or go on with, the handshake. Returns 1 once it is done. */
int ovr_tls_handshake(struct ovr_tls *tls, struct ovr_ws_buffer *out, size_t limit);
/* Hand in what came from the socket; ovr_tls_read or _handshake then works on it. */
int ovr_tls_take(struct ovr_tls *tls, const void *bytes, size_t length);
/* Returns bytes of plain text written to `plain`, 0 when more must come first, -EPIPE after the
 * peer's closing alert, or an error as above. Call until it returns 0. */
int64_t ovr_tls_read(struct ovr_tls *tls, void *plain, size_t capacity, struct ovr_ws_buffer *out,
                     size_t limit);
int ovr_tls_write(struct ovr_tls *tls, const void *plain, size_t length,
                  struct ovr_ws_buffer *out, size_t limit);
/* Say goodbye; best effort. */
void ovr_tls_close(struct ovr_tls *tls, struct ovr_ws_buffer *out, size_t limit);

const char *ovr_tls_why(const struct ovr_tls *tls);
const char *ovr_tls_cipher(const struct ovr_tls *tls); /* "TLSv1.3 TLS_AES_256_GCM_SHA384" */

#endif
