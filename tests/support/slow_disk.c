/* Loaded before the C library, makes the disk of a program slow: whatever is to be durable takes so many milliseconds as the
   file says that SLOW_DISK names, looked at again and again, so that a disk that hangs can be set free. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static long delay_ms(void) {
    long ms = 0;
    FILE *file = fopen(getenv("SLOW_DISK"), "r");
    if (file) {
        if (fscanf(file, "%ld", &ms) != 1) ms = 0;
        fclose(file);
    }
    return ms;
}

static int late(const char *name, int file) {
    for (long waited = 0; waited < delay_ms(); waited++) usleep(1000);
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(file);
}

int fsync(int file) { return late("fsync", file); }
int fdatasync(int file) { return late("fdatasync", file); }
