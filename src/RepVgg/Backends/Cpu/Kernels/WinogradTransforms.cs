namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>The transforms of Winograd's F(4x4, 3x3), over vectors of channels; see <see cref="WinogradTransforms{TVector, TLanes}"/>.</summary>
internal abstract unsafe class WinogradTransforms
{
    /// <summary>Output pixels of a tile's side.</summary>
    public const int TileSize = 4;

    /// <summary>Input pixels of a tile's side, and transform points of one dimension.</summary>
    public const int Points = 6;

    /// <summary>Points of a tile.</summary>
    public const int AllPoints = Points * Points;

    /// <summary>Input patch to points: V = B^T d B.</summary>
    /// <param name="patch">6x6 pixels of channels.</param>
    /// <param name="rowStride">Floats from one row of pixels to the next.</param>
    /// <param name="channels">A multiple of the vector's length.</param>
    /// <param name="points">Where to write; [point] at <paramref name="pointStride"/>.</param>
    /// <param name="pointStride">Floats from one point to the next.</param>
    public abstract void Input(float* patch, long rowStride, int channels, float* points, long pointStride);

    /// <summary>Points to output pixels: y = A^T M A, rows and columns beyond the image's edge left out.</summary>
    public abstract void Output(float* points, long pointStride, int channels, float* output, long rowStride, int rows, int columns, bool accumulate);

    /// <summary>Output gradient to points, for the gradient by weights: D = A dy A^T; pixels beyond the image's edge count as zero.</summary>
    public abstract void OutputGradient(float* gradient, long rowStride, int rows, int columns, int channels, float* points, long pointStride);

    /// <summary>Kernels to points: U = G g G^T, vector by vector.</summary>
    /// <param name="kernel">Nine taps.</param>
    /// <param name="tapStride">Floats from one tap to the next.</param>
    /// <param name="count">Floats per tap, a multiple of the vector's length.</param>
    /// <param name="points">Where to write.</param>
    /// <param name="pointStride">Floats from one point to the next.</param>
    public abstract void Kernel(float* kernel, long tapStride, int count, float* points, long pointStride);

    /// <summary>Gradient by points to the gradient by the kernel: dg = G^T dU G.</summary>
    public abstract void KernelGradient(float* points, long pointStride, int count, float* kernel, long tapStride);
}
