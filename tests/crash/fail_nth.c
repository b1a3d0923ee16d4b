/* The n-th write to the disk fails, or the process dies just before it. Loaded with LD_PRELOAD.

   Counted are the calls by which SQLite and blobs change the disk. fail_nth(n, errno) arms it: calls
   from the n-th on fail with errno (as a full disk does), or only the n-th when `once`; errno 0 kills
   the process instead. writes_seen() says how many calls there were since. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static long seen = 0, nth = 0;
static int with = 0, only_once = 0, is_armed = 0;

void fail_nth(long n, int error, int once) {
  nth = n; with = error; only_once = once; seen = 0; is_armed = 1;
}

long writes_seen(void) { is_armed = 0; return seen; }

static int fails(int fd) {
  struct stat found;
  if (!is_armed || fstat(fd, &found) != 0 || S_ISFIFO(found.st_mode) || S_ISCHR(found.st_mode)) return 0;
  seen++;
  if (seen < nth || (only_once && seen > nth)) return 0;
  if (with == 0) kill(getpid(), SIGKILL);
  errno = with;
  return 1;
}

#define REAL(name, type) static type real; if (!real) real = (type)dlsym(RTLD_NEXT, #name)
typedef ssize_t (*pwrite_type)(int, const void *, size_t, off_t);
typedef ssize_t (*write_type)(int, const void *, size_t);
typedef int (*fd_type)(int);
typedef int (*truncate_type)(int, off_t);

ssize_t pwrite(int fd, const void *from, size_t size, off_t at) {
  REAL(pwrite, pwrite_type); return fails(fd) ? -1 : real(fd, from, size, at); }
ssize_t pwrite64(int fd, const void *from, size_t size, off_t at) {
  REAL(pwrite64, pwrite_type); return fails(fd) ? -1 : real(fd, from, size, at); }
ssize_t write(int fd, const void *from, size_t size) {
  REAL(write, write_type); return fails(fd) ? -1 : real(fd, from, size); }
int fsync(int fd) { REAL(fsync, fd_type); return fails(fd) ? -1 : real(fd); }
int fdatasync(int fd) { REAL(fdatasync, fd_type); return fails(fd) ? -1 : real(fd); }
int ftruncate(int fd, off_t size) {
  REAL(ftruncate, truncate_type); return fails(fd) ? -1 : real(fd, size); }
int ftruncate64(int fd, off_t size) {
  REAL(ftruncate64, truncate_type); return fails(fd) ? -1 : real(fd, size); }
