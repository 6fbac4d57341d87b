// The one function of libFuzzer that the driver calls. It has no header of its own for it; declared as
// in its documentation (https://llvm.org/docs/LibFuzzer.html#using-libfuzzer-as-a-library).
#ifndef TRIVET_CFUZZER_H
#define TRIVET_CFUZZER_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerRunDriver(int *argc, char ***argv,
                        int (*run_one)(const uint8_t *bytes, size_t count));

#endif
