#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "failure.h"

/* FNV-1a of 64 bits: equal outputs have equal ones. Not for comparing two kinds of CPU, whose sums round differently. */
static uint64_t checksum(const unsigned char *bytes, size_t count) {
  uint64_t hash = 14695981039346656037u;
  for (size_t i = 0; i < count; i++) hash = (hash ^ bytes[i]) * 1099511628211u;
  return hash;
}

/* The most memory this process has had; getrusage would count what its parent had before exec, too. 0: unknown. */
static long peak_rss_kb(void) {
  long peak_kb = 0;
  char line[256];
  FILE *status = fopen("/proc/self/status", "r");
  if (status == NULL) return 0;
  while (fgets(line, sizeof line, status) != NULL)
    if (strncmp(line, "VmHWM:", 6) == 0) peak_kb = strtol(line + 6, NULL, 10);
  fclose(status);
  return peak_kb;
}

static void print_string(const char *name, const char *text) {
  printf(",\"%s\":", name);
  if (text == NULL) {
    printf("null");
    return;
  }
  putchar('"');
  for (; *text != '\0'; text++) {
    unsigned char character = (unsigned char)*text;
    if (character == '"' || character == '\\') putchar('\\');
    if (character < 0x20) printf("\\u%04x", character);
    else putchar(character);
  }
  putchar('"');
}

static void print_tensor(const char *side, const Tensor *tensor) {
  printf(",\"%s_type\":\"%s\",\"%s_shape\":[", side, tensor->type, side);
  for (int i = 0; i < tensor->rank; i++) printf("%s%d", i > 0 ? "," : "", tensor->shape[i]);
  putchar(']');
}

void print_report(const Options *options, const Session *session, const Timing *timing, double load_us,
                  const unsigned char *output) {
  struct utsname system;
  printf("{\"hwbench\":1");
  print_string("backend", session->backend);
  print_string("runtime_version", session->runtime_version);
  print_string("machine", uname(&system) == 0 ? system.machine : NULL);
  printf(",\"threads\":%d,\"cores\":\"%" PRIx64 "\"", options->threads, options->cores);
  print_tensor("input", &session->input);
  print_tensor("output", &session->output);
  printf(",\"load_us\":%.3f,\"first_us\":%.3f,\"warmup_us\":%.3f,\"runs_us\":[", load_us, timing->first_us,
         timing->warmup_us);
  for (long i = 0; i < timing->count; i++) printf("%s%.3f", i > 0 ? "," : "", timing->runs_us[i]);
  printf("],\"output_checksum\":\"%016" PRIx64 "\",\"peak_rss_kb\":%ld,\"end\":true}\n",
         checksum(output, session->output.bytes), peak_rss_kb());
  if (fflush(stdout) != 0 || ferror(stdout)) fail(FAILED_RUN, "the result could not be written");
}
