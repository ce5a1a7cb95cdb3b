/*
 * TLS 1.2 by hand up to ServerKeyExchange, whose signature over both randoms and the key share is checked with libcrypto
 * (RFC 5246 section 7.4.3, RFC 8422 section 5.4): the least that proves the key. ECDSA with P-256 only.
 */
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/x509.h>

#include "probe.h"

enum { BUFFER = 16384, HELLO = 512 };

struct connection {
  struct base base;
  int sent;
  int have;
  unsigned char random[32];
  unsigned char in[BUFFER];
};

static unsigned char hello[HELLO];
static int hello_length, random_at;

/* The one leaf that was seen last, and its key. */
static unsigned char known[BUFFER];
static size_t known_length;
static EVP_PKEY *known_key;

static void put(int value, int bytes) {
  while (bytes--) hello[hello_length++] = value >> (8 * bytes);
}

static void fill(int at, int bytes) {
  int value = hello_length - at - bytes;
  while (bytes--) hello[at++] = value >> (8 * bytes);
}

static void make_hello(void) {
  int name_length = strlen(server_name);
  put(22, 1), put(0x0301, 2), put(0, 2);
  put(1, 1), put(0, 3), put(0x0303, 2);
  random_at = hello_length;
  hello_length += 32;
  put(0, 1);                                 /* no session */
  put(4, 2), put(0xc02b, 2), put(0xc02c, 2); /* ECDHE-ECDSA with AES-GCM */
  put(1, 1), put(0, 1);
  int extensions = hello_length;
  put(0, 2);
  put(0, 2), put(name_length + 5, 2), put(name_length + 3, 2), put(0, 1), put(name_length, 2);
  memcpy(hello + hello_length, server_name, name_length);
  hello_length += name_length;
  put(10, 2), put(4, 2), put(2, 2), put(23, 2);   /* supported_groups: P-256 */
  put(11, 2), put(2, 2), put(1, 1), put(0, 1);    /* ec_point_formats */
  put(13, 2), put(4, 2), put(2, 2), put(0x0403, 2); /* ecdsa_secp256r1_sha256 */
  fill(extensions, 2);
  fill(6, 3);
  fill(3, 2);
}

static int begin(struct connection *c) {
  c->sent = c->have = 0;
  RAND_bytes(c->random, 32);
  return WANTS_WRITE;
}

static void finish(struct connection *c) { (void)c; }

static EVP_PKEY *key_of(const unsigned char *der, size_t length) {
  if (length == known_length && memcmp(der, known, length) == 0) return known_key;
  const unsigned char *at = der;
  X509 *certificate = d2i_X509(NULL, &at, length);
  if (!certificate || length > sizeof known) return NULL;
  EVP_PKEY_free(known_key);
  known_key = X509_get_pubkey(certificate);
  X509_free(certificate);
  memcpy(known, der, length);
  known_length = length;
  return known_key;
}

static int proved(struct connection *c, const unsigned char *server_random, EVP_PKEY *key, const unsigned char *body, size_t length) {
  if (length < 4 || body[0] != 3) return 0;
  size_t params = 4 + body[3];
  if (length < params + 4) return 0;
  size_t signature = body[params + 2] << 8 | body[params + 3];
  if (length < params + 4 + signature) return 0;
  unsigned char said[64 + 4 + 255];
  memcpy(said, c->random, 32);
  memcpy(said + 32, server_random, 32);
  memcpy(said + 64, body, params);
  EVP_MD_CTX *digest = EVP_MD_CTX_new();
  int good = EVP_DigestVerifyInit(digest, NULL, EVP_sha256(), NULL, key) == 1 &&
             EVP_DigestVerify(digest, body + params + 4, signature, said, 64 + params) == 1;
  EVP_MD_CTX_free(digest);
  return good;
}

/* All handshake messages that came so far, out of their records; ServerKeyExchange ends it. */
static int look(struct connection *c) {
  static unsigned char messages[BUFFER];
  size_t length = 0;
  for (int at = 0; at + 5 <= c->have;) {
    int record = c->in[at + 3] << 8 | c->in[at + 4];
    if (c->in[at] != 22) return FAILED;
    if (at + 5 + record > c->have) break;
    memcpy(messages + length, c->in + at + 5, record);
    length += record;
    at += 5 + record;
  }
  const unsigned char *server_random = NULL;
  EVP_PKEY *key = NULL;
  for (size_t at = 0; at + 4 <= length;) {
    size_t size = messages[at + 1] << 16 | messages[at + 2] << 8 | messages[at + 3];
    const unsigned char *body = messages + at + 4;
    if (at + 4 + size > length) break;
    if (messages[at] == 2 && size >= 34) server_random = body + 2;
    if (messages[at] == 11 && size >= 6) {
      size_t first = body[3] << 16 | body[4] << 8 | body[5];
      if (6 + first > size) return FAILED;
      key = key_of(body + 6, first);
    }
    if (messages[at] == 12) {
      if (!server_random || !key || !proved(c, server_random, key, body, size)) return FAILED;
      SHA256(known, known_length, leaf);
      return DONE;
    }
    at += 4 + size;
  }
  return WANTS_READ;
}

static int step(struct connection *c) {
  if (c->sent < hello_length) {
    unsigned char out[HELLO];
    memcpy(out, hello, hello_length);
    memcpy(out + random_at, c->random, 32);
    ssize_t written = write(c->base.fd, out + c->sent, hello_length - c->sent);
    if (written < 0) return errno == EAGAIN ? WANTS_WRITE : FAILED;
    c->sent += written;
    return c->sent < hello_length ? WANTS_WRITE : WANTS_READ;
  }
  ssize_t got = read(c->base.fd, c->in + c->have, BUFFER - c->have);
  if (got < 0) return errno == EAGAIN ? WANTS_READ : FAILED;
  if (got == 0) return FAILED;
  c->have += got;
  return look(c);
}

int main(int count, char **words) {
  if (count != 7) return 64;
  server_name = words[3];
  make_hello();
  return measure(words, sizeof(struct connection));
}
