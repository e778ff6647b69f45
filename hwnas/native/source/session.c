#include "session.h"

#include <dlfcn.h>
#include <string.h>

#include "failure.h"

Session open_session(const char *path, const char *model, int threads) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) fail(WRONG_LIBRARY, "cannot load the library: %s", dlerror());
  if (dlsym(library, "TfLiteInterpreterCreate") != NULL) return open_tflite(library, model, threads);
  if (dlsym(library, "LiteRtCreateCompiledModel") != NULL) return open_litert(library, model, threads);
  fail(WRONG_LIBRARY, "the library %s has neither the C API of TFLite nor that of LiteRT", path);
}

void look_up(void *library, const char *name, void *function) {
  void *address = dlsym(library, name);
  if (address == NULL) fail(WRONG_LIBRARY, "the library has no function %s", name);
  memcpy(function, &address, sizeof address); /* ISO C has no cast from an object to a function pointer */
}

const char *type_name(int type, const char *side) {
  switch (type) {
    case 1: return "float32";
    case 3: return "uint8";
    case 9: return "int8";
    default: fail(WRONG_MODEL, "the %s is of element type %d; float32 (1), uint8 (3) and int8 (9) are known", side, type);
  }
}

size_t type_bytes(const char *name) { return strcmp(name, "float32") == 0 ? 4 : 1; }
