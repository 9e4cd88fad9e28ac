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
        for (int oy = 0; oy < outputHeight; oy++)
        {
            for (int ox = 0; ox < outputWidth; ox++)
            {
                for (int ky = 0; ky < kernelHeight; ky++)
                {
                    int y = oy * stride + ky - padding;
                    for (int kx = 0; kx < kernelWidth; kx++)
                    {
                        int x = ox * stride + kx - padding;
                        bool inside = (uint)y < (uint)height && (uint)x < (uint)width;
                        float* from = source + ((long)y * width + x) * channels;
                        for (int c = 0; c < channels; c++)
                            *target++ = inside ? from[c] : 0;
                    }
                }
            }
        }
    }

    /// <summary>[C, pixels] to [pixels, C].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ToChannelsLast(float* source, float* target, int channels, int pixels)
    {
        for (int c = 0; c < channels; c++)
        {
            float* from = source + (long)c * pixels;
            float* to = target + c;
            for (int p = 0; p < pixels; p++, to += channels)
                *to = from[p];
        }
    }

    /// <summary>[pixels, C] to [C, pixels].</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void ToChannelsFirst(float* source, float* target, int channels, int pixels)
    {
        for (int c = 0; c < channels; c++)
        {
            float* from = source + c;
            float* to = target + (long)c * pixels;
            for (int p = 0; p < pixels; p++, from += channels)
                to[p] = *from;
        }
    }
}
