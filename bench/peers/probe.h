/* What both C clients share: LIST PORT NAME WARM PROBES PARALLEL, the loop with many connections at once, and the figures. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WANTS_READ, WANTS_WRITE, DONE, FAILED };

struct connection;
/* Begins on a socket that is connecting, and goes on when it is ready; what it wants next. */
static int begin(struct connection *c);
static int step(struct connection *c);
/* Before the socket is closed. */
static void finish(struct connection *c);

static struct sockaddr_in *addresses;
static long address_count;
static const char *server_name;
static unsigned char leaf[SHA256_DIGEST_LENGTH];

static double seconds_of(struct timeval t) { return t.tv_sec + t.tv_usec / 1e6; }

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void read_list(const char *path, int port) {
  FILE *file = fopen(path, "r");
  char line[64];
  if (!file) exit(66);
  addresses = malloc(sizeof *addresses * 100000);
  while (address_count < 100000 && fgets(line, sizeof line, file)) {
    struct sockaddr_in *a = &addresses[address_count];
    memset(a, 0, sizeof *a);
    a->sin_family = AF_INET;
    a->sin_port = htons(port);
    line[strcspn(line, "\n")] = 0;
    if (inet_pton(AF_INET, line, &a->sin_addr) == 1) address_count++;
  }
  fclose(file);
}

/* `fd` and `wants` stand first in each client's struct. */
struct base {
  int fd;
  int wants;
};

static void watch(int poll, struct base *c, int operation) {
  struct epoll_event event = {.events = c->wants == WANTS_WRITE ? EPOLLOUT : EPOLLIN, .data.ptr = c};
  epoll_ctl(poll, operation, c->fd, &event);
}

static int start(int poll, struct base *c, long number) {
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in *a = &addresses[number % address_count];
  if (connect(c->fd, (struct sockaddr *)a, sizeof *a) < 0 && errno != EINPROGRESS) {
    close(c->fd);
    return 0;
  }
  c->wants = begin((struct connection *)c);
  watch(poll, c, EPOLL_CTL_ADD);
  return 1;
}

static long run_round(long count, int parallel, size_t size) {
  int poll = epoll_create1(0);
  char *all = calloc(parallel, size);
  struct epoll_event events[256];
  long begun = 0, ended = 0, failed = 0;
  for (int at = 0; at < parallel && begun < count; at++) {
    struct base *c = (struct base *)(all + at * size);
    while (begun < count && !start(poll, c, begun++)) failed++, ended++;
  }
  while (ended < count) {
    int ready = epoll_wait(poll, events, 256, 10000);
    if (ready <= 0) return count - ended + failed;
    for (int at = 0; at < ready; at++) {
      struct base *c = events[at].data.ptr;
      int before = c->wants;
      c->wants = step((struct connection *)c);
      if (c->wants == DONE || c->wants == FAILED) {
        if (c->wants == FAILED) failed++;
        finish((struct connection *)c);
        close(c->fd);
        ended++;
        while (begun < count && !start(poll, c, begun++)) failed++, ended++;
      } else if (c->wants != before)
        watch(poll, c, EPOLL_CTL_MOD);
    }
  }
  close(poll);
  free(all);
  return failed;
}

static int measure(char **words, size_t size) {
  struct rusage before, after;
  read_list(words[1], atoi(words[2]));
  server_name = words[3];
  long warm = atol(words[4]), probes = atol(words[5]);
  int parallel = atoi(words[6]);
  long failed = run_round(warm, parallel, size);
  getrusage(RUSAGE_SELF, &before);
  double started = now();
  failed += run_round(probes, parallel, size);
  double seconds = now() - started;
  getrusage(RUSAGE_SELF, &after);
  double cpu = seconds_of(after.ru_utime) + seconds_of(after.ru_stime) - seconds_of(before.ru_utime) - seconds_of(before.ru_stime);
  printf("{\"probes\":%ld,\"failed\":%ld,\"seconds\":%f,\"cpuSeconds\":%f,\"leaf\":\"", probes, failed, seconds, cpu);
  for (int at = 0; at < SHA256_DIGEST_LENGTH; at++) printf("%02x", leaf[at]);
  printf("\"}\n");
  return 0;
}
