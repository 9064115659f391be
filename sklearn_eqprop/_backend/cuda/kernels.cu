// Elementwise work of a sweep and of an update, each kernel in one pass over memory.
//
// REAL is float or double, defined when the text is compiled. This is plain C++ without headers: the
// tests also compile it with an ordinary compiler and run it. Arrays are in C order.
//
// Kernels whose name begins with row_ run one block per row. Its threads stride over the columns and
// combine their results in `largest`, which must hold zeros or the results of other layers before.

typedef REAL real;

template <unsigned SIZE> struct bits_of;
template <> struct bits_of<4> { typedef unsigned int type; };
template <> struct bits_of<8> { typedef unsigned long long type; };
typedef bits_of<sizeof(real)>::type bits;

// Magnitudes (the sign bit cleared) have the order of their bit patterns. NaN is above all numbers.
static __device__ bits magnitude_bits(real value)
{
    union { real number; bits pattern; } both;
    both.number = value;
    return both.pattern & ~((bits)1 << (8 * sizeof(real) - 1));
}

// As numpy.maximum and numpy.minimum: NaN wins.
static __device__ real maximum(real a, real b) { return a > b || a != a ? a : b; }
static __device__ real minimum(real a, real b) { return a < b || a != a ? a : b; }

// A side of a range: an array in the shape of the states, or one number if that is null; infinite: open.
static __device__ real in_range(
    real value, long long i, const real* lower, const real* upper, real least, real most)
{
    return minimum(maximum(value, lower ? lower[i] : least), upper ? upper[i] : most);
}

extern "C" __global__ void project(
    const real* values, const real* lower, const real* upper, real least, real most,
    real* out, long long n)
{
    long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        out[i] = in_range(values[i], i, lower, upper, least, most);
}

extern "C" __global__ void row_max_abs(const real* values, real* largest, long long n_columns)
{
    bits found = 0;
    long long first = blockIdx.x * n_columns;
    for (long long column = threadIdx.x; column < n_columns; column += blockDim.x) {
        bits here = magnitude_bits(values[first + column]);
        found = here > found ? here : found;
    }
    atomicMax((bits*)largest + blockIdx.x, found);
}

// Largest |clip(drive) - s| of each row.
extern "C" __global__ void row_residual(
    const real* drive, const real* state,
    const real* lower, const real* upper, real least, real most,
    real* largest, long long n_columns)
{
    bits found = 0;
    long long first = blockIdx.x * n_columns;
    for (long long column = threadIdx.x; column < n_columns; column += blockDim.x) {
        long long i = first + column;
        real left = in_range(drive[i], i, lower, upper, least, most) - state[i];
        bits here = magnitude_bits(left);
        found = here > found ? here : found;
    }
    atomicMax((bits*)largest + blockIdx.x, found);
}

// The Euler step clip(s + step (goal - s)), and the residual |clip(goal) - s| it started from.
extern "C" __global__ void row_euler(
    const real* goal, const real* state,
    const real* lower, const real* upper, real least, real most,
    real step, real* moved, real* largest, long long n_columns)
{
    bits found = 0;
    long long first = blockIdx.x * n_columns;
    for (long long column = threadIdx.x; column < n_columns; column += blockDim.x) {
        long long i = first + column;
        real before = state[i], velocity = goal[i] - before;
        real left = in_range(goal[i], i, lower, upper, least, most) - before;
        moved[i] = in_range(before + step * velocity, i, lower, upper, least, most);
        bits here = magnitude_bits(left);
        found = here > found ? here : found;
    }
    atomicMax((bits*)largest + blockIdx.x, found);
}

// A layer solved in one pass: clip(early + late). `late` may be null, or one row shared by all samples.
extern "C" __global__ void row_solve(
    const real* early, const real* late, long long late_is_shared,
    const real* lower, const real* upper, real least, real most,
    real* state, long long n_columns)
{
    long long first = blockIdx.x * n_columns, late_first = late_is_shared ? 0 : first;
    for (long long column = threadIdx.x; column < n_columns; column += blockDim.x) {
        long long i = first + column;
        real drive = early[i];
        if (late) drive += late[late_first + column];
        state[i] = in_range(drive, i, lower, upper, least, most);
    }
}

// The drive early + late, and the residual of a state with this drive.
extern "C" __global__ void row_check(
    const real* early, const real* late, long long late_is_shared, const real* state,
    const real* lower, const real* upper, real least, real most,
    real* drives, real* largest, long long n_columns)
{
    bits found = 0;
    long long first = blockIdx.x * n_columns, late_first = late_is_shared ? 0 : first;
    for (long long column = threadIdx.x; column < n_columns; column += blockDim.x) {
        long long i = first + column;
        real drive = early[i];
        if (late) drive += late[late_first + column];
        drives[i] = drive;
        real left = in_range(drive, i, lower, upper, least, most) - state[i];
        bits here = magnitude_bits(left);
        found = here > found ? here : found;
    }
    atomicMax((bits*)largest + blockIdx.x, found);
}

// Copy the marked rows of one array to another.
extern "C" __global__ void row_copy(
    real* target, const real* source, const bool* marked, long long n_columns)
{
    if (!marked[blockIdx.x]) return;
    long long first = blockIdx.x * n_columns;
    for (long long column = threadIdx.x; column < n_columns; column += blockDim.x)
        target[first + column] = source[first + column];
}

// Adam (Kingma & Ba 2015). Moments are kept as fading sums, and the step replaces the direction.
extern "C" __global__ void adam(
    real* mean, real* square, real* direction,
    real fade_mean, real fade_square, real epsilon, real rate, long long n)
{
    long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        real change = direction[i];
        real m = mean[i] * fade_mean + change;
        real v = square[i] * fade_square + change * change;
        mean[i] = m;
        square[i] = v;
        direction[i] = m / (sqrt(v) + epsilon) * rate;
    }
}
