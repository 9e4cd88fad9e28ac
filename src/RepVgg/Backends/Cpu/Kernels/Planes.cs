using System.Runtime.CompilerServices;

namespace RepVgg.Backends.Cpu.Kernels;

/// <summary>Moves images between layouts.</summary>
internal static unsafe class Planes
{
    /// <summary>Copies [H, W, C] into the middle of a zeroed frame of another size.</summary>
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

    /// <summary>Copies the patch under each output pixel side by side: [pixel][kernel row][kernel column][channel].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Patches(float* source, int height, int width, int channels, int kernelHeight, int kernelWidth, int stride, int padding, int outputHeight, int outputWidth, float* target)
    {
        int line = kernelWidth * channels;
        for (int oy = 0; oy < outputHeight; oy++)
        {
            for (int ox = 0; ox < outputWidth; ox++)
            {
                int left = ox * stride - padding;
                // Columns of the patch that lie inside the image: all of them, but at its edges.
                int first = Math.Clamp(-left, 0, kernelWidth) * channels;
                int last = Math.Clamp(width - left, 0, kernelWidth) * channels;
                for (int ky = 0; ky < kernelHeight; ky++, target += line)
                {
                    int y = oy * stride + ky - padding;
                    bool inside = (uint)y < (uint)height;
                    int start = inside ? first : line, end = inside ? last : line;
                    float* from = source + ((long)y * width + left) * channels;
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
