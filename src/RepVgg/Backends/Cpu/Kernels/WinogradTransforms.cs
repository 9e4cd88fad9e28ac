namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>The transforms of Winograd's algorithm F(4x4, 3x3), vectorised over channels; see <see cref="WinogradTransforms{TVector, TLanes}"/>.</summary>
internal abstract unsafe class WinogradTransforms
{
    /// <summary>Height and width of an output tile, in pixels.</summary>
    public const int TileSize = 4;

    /// <summary>Height and width of an input patch in pixels, and number of transform points per dimension.</summary>
    public const int Points = 6;

    /// <summary>Number of transform points of a tile.</summary>
    public const int AllPoints = Points * Points;

    /// <summary>Input transform of one patch: V = B^T d B.</summary>
    /// <param name="patch">6x6 pixels, each of <paramref name="channels"/> floats.</param>
    /// <param name="rowStride">Floats from one row of the patch to the next.</param>
    /// <param name="channels">Number of channels, a multiple of the vector length.</param>
    /// <param name="points">Destination of the 36 points, <paramref name="pointStride"/> floats apart.</param>
    /// <param name="pointStride">Floats from one point to the next.</param>
    public abstract void Input(float* patch, long rowStride, int channels, float* points, long pointStride);

    /// <summary>Output transform of one tile: y = A^T M A. Only the given numbers of rows and columns, which are inside the image, are written.</summary>
    public abstract void Output(float* points, long pointStride, int channels, float* output, long rowStride, int rows, int columns, bool accumulate);

    /// <summary>Transform of the output gradient of one tile for the weight gradient: D = A dy A^T. Pixels outside the image are treated as zero.</summary>
    public abstract void OutputGradient(float* gradient, long rowStride, int rows, int columns, int channels, float* points, long pointStride);

    /// <summary>Kernel transform: U = G g G^T for every element of the taps.</summary>
    /// <param name="kernel">Nine taps, each of <paramref name="count"/> floats.</param>
    /// <param name="tapStride">Floats from one tap to the next.</param>
    /// <param name="count">Floats per tap, a multiple of the vector length.</param>
    /// <param name="points">Destination of the 36 points.</param>
    /// <param name="pointStride">Floats from one point to the next.</param>
    public abstract void Kernel(float* kernel, long tapStride, int count, float* points, long pointStride);

    /// <summary>Transform of the gradient with respect to the transform points to the kernel gradient: dg = G^T dU G.</summary>
    public abstract void KernelGradient(float* points, long pointStride, int count, float* kernel, long tapStride);
}
