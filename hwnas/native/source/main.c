/* hwbench: times a .tflite model on the machine it runs on and prints every run's microseconds as JSON. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "failure.h"
#include "options.h"
#include "report.h"
#include "session.h"
#include "timing.h"

/* Threads that the library starts later inherit it. */
static void pin(uint64_t mask) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  for (unsigned core = 0; core < 64; core++)
    if (mask >> core & 1) CPU_SET(core, &cores);
  if (sched_setaffinity(0, sizeof cores, &cores) != 0)
    fail(WRONG_USAGE, "--cores %llx: this machine cannot run on these cores now (%s)", (unsigned long long)mask,
         strerror(errno));
}

static void *allocate(size_t bytes) {
  void *memory = malloc(bytes);
  if (memory == NULL) fail(WRONG_MODEL, "no memory for %zu bytes", bytes);
  return memory;
}

/* Without an input file: numbers from 0 to 1 for float32, small ones for integers. The same every time. */
static void fill_pattern(const Tensor *tensor, unsigned char *bytes) {
  if (strcmp(tensor->type, "float32") == 0)
    for (size_t i = 0; i < tensor->bytes / sizeof(float); i++) {
      float value = (float)(i % 17) / 17.0f;
      memcpy(bytes + i * sizeof value, &value, sizeof value);
    }
  else
    for (size_t i = 0; i < tensor->bytes; i++) bytes[i] = (unsigned char)(i % 17);
}

static void read_file(const char *path, const Tensor *tensor, unsigned char *bytes) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail(WRONG_MODEL, "cannot read the input %s: %s", path, strerror(errno));
  size_t count = fread(bytes, 1, tensor->bytes, file);
  if (count != tensor->bytes || fgetc(file) != EOF)
    fail(WRONG_MODEL, "the input %s must hold the %zu bytes of the model's input, and holds %s", path, tensor->bytes,
         count < tensor->bytes ? "fewer" : "more");
  fclose(file);
}

static void write_file(const char *path, const Tensor *tensor, const unsigned char *bytes) {
  FILE *file = fopen(path, "wb");
  if (file == NULL) fail(WRONG_MODEL, "cannot write the output %s: %s", path, strerror(errno));
  size_t count = fwrite(bytes, 1, tensor->bytes, file);
  if (fclose(file) != 0 || count != tensor->bytes)
    fail(WRONG_MODEL, "cannot write the output %s: %s", path, strerror(errno));
}

int main(int count, char **words) {
  Options options = parse_options(count, words);
  if (options.cores != 0) pin(options.cores);
  double begin_us = now_us();
  Session session = open_session(options.library, options.model, options.threads);
  double load_us = now_us() - begin_us;

  unsigned char *input = allocate(session.input.bytes), *output = allocate(session.output.bytes);
  if (options.input != NULL) read_file(options.input, &session.input, input);
  else fill_pattern(&session.input, input);
  session.write_input(&session, input);
  Timing timing = time_runs(&session, &options.limits);
  session.read_output(&session, output);
  if (options.output != NULL) write_file(options.output, &session.output, output);
  print_report(&options, &session, &timing, load_us, output);
  _exit(EXIT_SUCCESS); /* without the library's destructors, whose time and bugs are nobody's business here */
}
