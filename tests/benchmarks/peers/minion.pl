# The phases of Minion's benchmark, one at a time: a request on each line of standard input
# ("enqueue 4000"), an answer in JSON on each line of standard output: operations a second for
# what is timed, 0 for what is not. The PostgreSQL address is the first argument; with a second, a
# number of jobs, this is a worker that performs as many at a time.
use Mojo::Base -strict;

use Minion;
use Time::HiRes qw(sleep time);

$| = 1;

my ($address, $slots) = @ARGV;
my $minion = Minion->new(Pg => $address);
$minion->add_task(foo => sub { });
$minion->add_task(bar => sub { });
my $backend = $minion->backend;
my @names   = ('foo', 'bar');
my ($locked, $unlocked) = (0, 0);
my (@parents, @jobs);

my %request = (
  prepare => sub {
    my $count = shift;
    $minion->reset({all => 1});
    @jobs    = ();
    @parents = map { $minion->enqueue('foo') } 1 .. $count;
    my $worker = $minion->worker->register;
    $worker->dequeue(0, {id => $_})->finish for @parents;
    $worker->unregister;
    return 0;
  },
  single  => sub { timed(shift, sub { $minion->enqueue($names[$_[0] % 2] => [$_[0]]) }) },
  enqueue => sub {
    timed(shift, sub { push @jobs, $minion->enqueue($names[$_[0] % 2] => [] => {parents => \@parents}) });
  },
  children => sub {
    $minion->enqueue(foo => [] => {parents => \@jobs}) for 1 .. shift;
    $backend->pg->db->query('ANALYZE minion_jobs');
    return 0;
  },
  drain  => \&drain,
  work   => \&work,
  info   => sub { timed(shift, sub { $backend->list_jobs(0, 1, {ids => [$_[0] + 1]}) }) },
  stats  => sub { timed(shift, sub { $minion->stats }) },
  repair => sub { timed(shift, sub { $minion->repair }) },
  lock   => sub {
    timed(shift, sub { $minion->lock($names[$locked++ % 2], 3600, {limit => 500}) or die 'not locked' });
  },
  unlock => sub { timed(shift, sub { $minion->unlock($names[$unlocked++ % 2]) or die 'not unlocked' }) },
);

run_worker($slots) if $slots;

while (my $line = <STDIN>) {
  my ($name, @numbers) = split ' ', $line;
  say $request{$name}->(@numbers);
}

sub timed {
  my ($count, $work) = @_;
  my $before = time;
  $work->($_) for 0 .. $count - 1;
  return $count / (time - $before);
}

sub drain {
  my ($processes, $batches, $size) = @_;
  my $before = time;
  my @pids   = map { start_share($batches, $size) } 1 .. $processes;
  my $failed = 0;
  waitpid($_, 0), $failed ||= $? for @pids;
  die 'a process failed' if $failed;
  return $processes * $batches * $size / (time - $before);
}

sub start_share {
  my ($batches, $size) = @_;
  die "cannot fork: $!" unless defined(my $pid = fork);
  return $pid if $pid;

  my $worker = $minion->repair->worker->register;
  for (1 .. $batches) {
    my @claimed;
    while (@claimed < $size) {
      my $job = $worker->dequeue(0.5) or next;
      push @claimed, $job;
    }
    $_->finish({minion_bench => $_->id}) or die 'not finished' for @claimed;
  }
  $worker->unregister;
  exit;
}

sub work {
  my ($slots, $count) = @_;
  $minion->reset({all => 1});
  $minion->enqueue('foo') for 1 .. $count;
  my $before = time;
  die "cannot fork: $!" unless defined(my $pid = fork);
  exec $^X, $0, $address, $slots unless $pid;

  my $stats = $minion->stats;
  sleep(0.01), $stats = $minion->stats while $stats->{finished_jobs} + $stats->{failed_jobs} < $count;
  my $rate = $count / (time - $before);
  kill INT => $pid;
  waitpid $pid, 0;
  die "$stats->{failed_jobs} jobs failed" if $stats->{failed_jobs};
  return $rate;
}

sub run_worker {
  my $worker = $minion->worker;
  $worker->status->{jobs} = shift;
  $worker->run;
  exit;
}
