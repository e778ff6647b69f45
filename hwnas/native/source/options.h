/* What hwbench is asked to do. */
#ifndef HWBENCH_OPTIONS_H
#define HWBENCH_OPTIONS_H

#include <stdint.h>

#include "timing.h"

typedef struct {
  const char *library; /* path of the runtime's shared library */
  const char *model;   /* path of a .tflite file */
  const char *input;   /* path of the input's bytes, as the model stores them; NULL: a fixed pattern */
  const char *output;  /* where the output's bytes go; NULL: nowhere */
  int threads;
  uint64_t cores; /* one bit per core, core 0 the lowest; 0: any */
  Limits limits;
} Options;

/* Reads the command line. Fails with WRONG_USAGE, naming the option and its value. */
Options parse_options(int count, char **words);

#endif
