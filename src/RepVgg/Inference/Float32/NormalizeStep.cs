using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Float32;

/// <summary>
/// Normalizes raw NCHW pixels, bytes or floats, as (pixel - mean) * scale per channel, and writes them with interleaved channels (NHWC) inside
/// the zero border of the input map.
/// </summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
internal sealed unsafe class NormalizeStep<TVector, TLanes> : Step
    where TVector : struct
    where TLanes : struct, ILanes<TVector>
{
    private const int BandPixels = 4096;

    private readonly MapLayout _layout;
    private readonly float[] _mean;
    private readonly float[] _scale;
    private readonly Partition _bands;

    // Tables to interleave three channels. Float i of three output vectors is channel i % 3 of pixel i / 3: _pixels holds
    // i / 3 as the shuffle index, _reds and _greens are masks with all bits set where the channel is red or green.
    private readonly int[] _pixels = GC.AllocateArray<int>(3 * TLanes.Width, pinned: true);
    private readonly float[] _reds = GC.AllocateArray<float>(3 * TLanes.Width, pinned: true);
    private readonly float[] _greens = GC.AllocateArray<float>(3 * TLanes.Width, pinned: true);

    /// <param name="layout">Layout of the input map, with one block that contains all channels.</param>
    /// <param name="normalization">Mean and scale of each channel.</param>
    public NormalizeStep(MapLayout layout, Normalization normalization)
    {
        _layout = layout;
        _mean = [.. normalization.Mean];
        _scale = [.. normalization.Scale];
        _bands = new Partition(layout.Height, BandPixels / layout.Width);
        float all = BitConverter.Int32BitsToSingle(-1);
        for (int i = 0; i < _pixels.Length; i++)
        {
            _pixels[i] = i / 3;
            _reds[i] = i % 3 == 0 ? all : 0;
            _greens[i] = i % 3 == 1 ? all : 0;
        }
    }

    public override int CountItems(StepContext context) => context.Images * _bands.Count;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        var pixels = context.Pixels;
        if (pixels.AreBytes)
            Normalize(pixels.Bytes, context, item);
        else
            Normalize(pixels.Floats, context, item);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void Normalize<TPixel>(TPixel* images, StepContext context, int item)
        where TPixel : unmanaged
    {
        (int image, int band) = Math.DivRem(item, _bands.Count);
        int channels = _layout.Channels, width = _layout.Width;
        long plane = (long)_layout.Height * width;
        int first = _bands.First(band), last = _bands.First(band + 1);
        TPixel* pixels = images + image * channels * plane;
        float* block = context[BufferId.Input] + image * _layout.BlockPitch;
        for (int y = first; y < last; y++)
        {
            float* target = block + _layout.Origin + (long)y * _layout.RowPitch;
            if (channels == 3)
            {
                InterleaveThree(pixels + (long)y * width, plane, target, width);
                continue;
            }
            for (int c = 0; c < channels; c++)
            {
                float mean = _mean[c], scale = _scale[c];
                TPixel* source = pixels + c * plane + (long)y * width;
                for (int x = 0; x < width; x++)
                    target[x * channels + c] = (Value(source + x) - mean) * scale;
            }
        }
    }

    // Scalar equivalent: target[3 * x + c] = (channel c at x - mean[c]) * scale[c] for x = 0 to width - 1.
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void InterleaveThree<TPixel>(TPixel* red, long plane, float* target, int width)
        where TPixel : unmanaged
    {
        TPixel* green = red + plane, blue = green + plane;
        float redMean = _mean[0], greenMean = _mean[1], blueMean = _mean[2];
        float redScale = _scale[0], greenScale = _scale[1], blueScale = _scale[2];
        int x = 0;
        fixed (int* pixels = _pixels)
        fixed (float* reds = _reds, greens = _greens)
        {
            for (; x + TLanes.Width <= width; x += TLanes.Width)
            {
                TVector r = Scale(red + x, redMean, redScale), g = Scale(green + x, greenMean, greenScale), b = Scale(blue + x, blueMean, blueScale);
                for (int i = 0; i < 3 * TLanes.Width; i += TLanes.Width, target += TLanes.Width)
                {
                    TVector others = TLanes.ConditionalSelect(TLanes.Load(greens + i), TLanes.Shuffle(g, pixels + i), TLanes.Shuffle(b, pixels + i));
                    TLanes.Store(target, TLanes.ConditionalSelect(TLanes.Load(reds + i), TLanes.Shuffle(r, pixels + i), others));
                }
            }
        }
        for (; x < width; x++, target += 3)
        {
            target[0] = (Value(red + x) - redMean) * redScale;
            target[1] = (Value(green + x) - greenMean) * greenScale;
            target[2] = (Value(blue + x) - blueMean) * blueScale;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TVector Scale<TPixel>(TPixel* source, float mean, float scale)
        where TPixel : unmanaged
    {
        TVector values = typeof(TPixel) == typeof(byte) ? TLanes.LoadBytes((byte*)source) : TLanes.Load((float*)source);
        return TLanes.Multiply(TLanes.Subtract(values, TLanes.Broadcast(mean)), TLanes.Broadcast(scale));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Value<TPixel>(TPixel* source)
        where TPixel : unmanaged => typeof(TPixel) == typeof(byte) ? *(byte*)source : *(float*)source;
}
