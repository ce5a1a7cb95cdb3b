/* A full handshake with libssl for each endpoint. */
#include <openssl/ssl.h>

#include "probe.h"

struct connection {
  struct base base;
  SSL *ssl;
};

static SSL_CTX *context;

static int begin(struct connection *c) {
  c->ssl = SSL_new(context);
  SSL_set_fd(c->ssl, c->base.fd);
  SSL_set_tlsext_host_name(c->ssl, server_name);
  SSL_set_connect_state(c->ssl);
  return WANTS_WRITE;
}

static int step(struct connection *c) {
  int result = SSL_do_handshake(c->ssl);
  if (result == 1) {
    X509 *certificate = SSL_get0_peer_certificate(c->ssl);
    unsigned int length = sizeof leaf;
    return certificate && X509_digest(certificate, EVP_sha256(), leaf, &length) ? DONE : FAILED;
  }
  int error = SSL_get_error(c->ssl, result);
  if (error == SSL_ERROR_WANT_READ) return WANTS_READ;
  if (error == SSL_ERROR_WANT_WRITE) return WANTS_WRITE;
  return FAILED;
}

static void finish(struct connection *c) { SSL_free(c->ssl); }

int main(int count, char **words) {
  if (count != 7) return 64;
  context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
  return measure(words, sizeof(struct connection));
}
