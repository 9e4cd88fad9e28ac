using System.Runtime.CompilerServices;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>Copies images to other layouts.</summary>
internal static unsafe class ImageLayout
{
    /// <summary>
    /// Copies an image [H, W, C] into a zero-padded frame [targetHeight, targetWidth, C] at row <paramref name="top"/> and
    /// column <paramref name="left"/>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Pad(float* source, int height, int width, int channels, float* target, int top, int left, int targetHeight, int targetWidth)
    {
        long row = (long)targetWidth * channels;
        for (int y = 0; y < targetHeight; y++, target += row)
        {
            int from = y - top;
            if (from < 0 || from >= height)
            {
                new Span<float>(target, (int)row).Clear();
                continue;
            }
            int copied = Math.Min(width, targetWidth - left) * channels;
            new Span<float>(target, left * channels).Clear();
            new ReadOnlySpan<float>(source + (long)from * width * channels, copied).CopyTo(new Span<float>(target + (long)left * channels, copied));
            new Span<float>(target + (long)left * channels + copied, (int)row - left * channels - copied).Clear();
        }
    }

    /// <summary>Copies the input patch of each output pixel (im2col): [pixel][kernel row][kernel column][channel]. Values outside the image are 0.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Im2Col(float* source, int height, int width, int channels, int kernelHeight, int kernelWidth, int stride, int top, int left, int outputHeight, int outputWidth, float* target)
    {
        int line = kernelWidth * channels;
        for (int oy = 0; oy < outputHeight; oy++)
        {
            for (int ox = 0; ox < outputWidth; ox++)
            {
                int column = ox * stride - left;
                // Range of the floats of a patch row that are inside the image.
                int first = Math.Clamp(-column, 0, kernelWidth) * channels;
                int last = Math.Clamp(width - column, 0, kernelWidth) * channels;
                for (int ky = 0; ky < kernelHeight; ky++, target += line)
                {
                    int y = oy * stride + ky - top;
                    bool inside = (uint)y < (uint)height;
                    int start = inside ? first : line, end = inside ? last : line;
                    float* from = source + ((long)y * width + column) * channels;
                    for (int i = 0; i < start; i++)
                        target[i] = 0;
                    for (int i = start; i < end; i++)
                        target[i] = from[i];
                    for (int i = end; i < line; i++)
                        target[i] = 0;
                }
            }
        }
    }
}
