#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"

enum { MOST_THREADS = 1024, MOST_RUNS = 1000000 };

static const char USAGE[] =
    "usage: hwbench --library L --model M [--threads N] [--cores HEX] [--input FILE] [--output FILE]\n"
    "               [--warmup-runs N] [--warmup-ms X] [--min-runs N] [--max-runs N] [--min-ms X] [--max-ms X]\n"
    "               [--precision-percent X]";

static long parse_count(const char *option, const char *text, long least, long most) {
  char *end;
  errno = 0;
  long value = strtol(text, &end, 10);
  if (!isdigit((unsigned char)*text) || *end != '\0' || errno != 0 || value < least || value > most)
    fail(WRONG_USAGE, "%s takes a whole number from %ld to %ld, not '%s'", option, least, most, text);
  return value;
}

static double parse_amount(const char *option, const char *text) {
  char *end;
  double value = strtod(text, &end);
  if (!isdigit((unsigned char)*text) || *end != '\0' || !isfinite(value))
    fail(WRONG_USAGE, "%s takes a number of at least 0, not '%s'", option, text);
  return value;
}

static uint64_t parse_mask(const char *option, const char *text) {
  char *end;
  errno = 0;
  unsigned long long mask = strtoull(text, &end, 16);
  bool prefixed = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
  if (!isxdigit((unsigned char)*text) || prefixed || *end != '\0' || errno != 0 || mask == 0)
    fail(WRONG_USAGE, "%s takes a hexadecimal mask of cores 0 to 63, such as f0 for 4 to 7, not '%s'", option, text);
  return mask;
}

static void set_option(Options *options, const char *name, const char *value) {
  Limits *limits = &options->limits;
  if (strcmp(name, "--library") == 0) options->library = value;
  else if (strcmp(name, "--model") == 0) options->model = value;
  else if (strcmp(name, "--input") == 0) options->input = value;
  else if (strcmp(name, "--output") == 0) options->output = value;
  else if (strcmp(name, "--threads") == 0) options->threads = (int)parse_count(name, value, 1, MOST_THREADS);
  else if (strcmp(name, "--cores") == 0) options->cores = parse_mask(name, value);
  else if (strcmp(name, "--warmup-runs") == 0) limits->warmup_runs = parse_count(name, value, 1, MOST_RUNS);
  else if (strcmp(name, "--warmup-ms") == 0) limits->warmup_ms = parse_amount(name, value);
  else if (strcmp(name, "--min-runs") == 0) limits->min_runs = parse_count(name, value, 1, MOST_RUNS);
  else if (strcmp(name, "--max-runs") == 0) limits->max_runs = parse_count(name, value, 1, MOST_RUNS);
  else if (strcmp(name, "--min-ms") == 0) limits->min_ms = parse_amount(name, value);
  else if (strcmp(name, "--max-ms") == 0) limits->max_ms = parse_amount(name, value);
  else if (strcmp(name, "--precision-percent") == 0) limits->precision_percent = parse_amount(name, value);
  else fail(WRONG_USAGE, "unknown option '%s'\n%s", name, USAGE);
}

Options parse_options(int count, char **words) {
  Options options = {.threads = 1, .limits = DEFAULT_LIMITS};
  for (int i = 1; i < count; i += 2) {
    if (i + 1 == count) fail(WRONG_USAGE, "'%s' is unknown or lacks its value\n%s", words[i], USAGE);
    set_option(&options, words[i], words[i + 1]);
  }
  if (options.library == NULL) fail(WRONG_USAGE, "--library is missing\n%s", USAGE);
  if (options.model == NULL) fail(WRONG_USAGE, "--model is missing\n%s", USAGE);
  if (options.limits.min_runs > options.limits.max_runs)
    fail(WRONG_USAGE, "--min-runs is %ld, above --max-runs, which is %ld", options.limits.min_runs,
         options.limits.max_runs);
  return options;
}
