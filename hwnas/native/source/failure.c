#include "failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

void fail(Failure failure, const char *message, ...) {
  va_list arguments;
  va_start(arguments, message);
  fputs("hwbench: ", stderr);
  vfprintf(stderr, message, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  fflush(stderr);
  _exit(failure); /* without the library's destructors: some crash after a model that could not be loaded */
}
