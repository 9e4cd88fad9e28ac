using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Float32;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Int8;

/// <summary>
/// Normalizes raw NCHW pixels, bytes or floats, as (pixel - mean) * scale per channel, and writes them quantized, with their border, to the input map. A pixel has at most four
/// channels.
/// </summary>
internal sealed unsafe class QuantizeInputStep : Step
{
    private const int BandPixels = 4096;
    private const int MaximumChannels = 4;

    private readonly IntegerMapLayout _layout;
    private readonly QuantizationParameters _parameters;
    private readonly float[] _mean;
    private readonly float[] _scale;
    private readonly Partition _bands;

    /// <param name="layout">Layout of the input map.</param>
    /// <param name="normalization">Mean and scale of each channel.</param>
    /// <param name="parameters">How the normalised input is stored.</param>
    public QuantizeInputStep(IntegerMapLayout layout, Normalization normalization, QuantizationParameters parameters)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(layout.Channels, MaximumChannels);
        ArgumentOutOfRangeException.ThrowIfNotEqual(layout.PixelElements, MaximumChannels);
        (_layout, _parameters) = (layout, parameters);
        _mean = [.. normalization.Mean];
        _scale = [.. normalization.Scale];
        _bands = new Partition(layout.Height, BandPixels / layout.Width);
    }

    public override int CountItems(StepContext context) => context.Images * _bands.Count;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        (int image, int band) = Math.DivRem(item, _bands.Count);
        byte* map = (byte*)context[BufferId.Input] + image * _layout.ImageBytes;
        int plane = _layout.Height * _layout.Width, first = _bands.First(band), last = _bands.First(band + 1);
        var pixels = context.Pixels.Skip((long)image * _layout.Channels * plane);
        if (first == 0)
            Fill(map, _layout.RowBytes);
        if (last == _layout.Height)
            Fill(map + (long)(last + 1) * _layout.RowBytes, _layout.RowBytes);
        for (int y = first; y < last; y++)
        {
            byte* row = map + (long)(y + 1) * _layout.RowBytes;
            Fill(row, _layout.PixelBytes);
            Fill(row + _layout.RowBytes - _layout.PixelBytes, _layout.PixelBytes);
            var source = pixels.Skip((long)y * _layout.Width);
            if (source.AreBytes)
                WriteRow(source.Bytes, plane, row + _layout.PixelBytes);
            else
                WriteRow(source.Floats, plane, row + _layout.PixelBytes);
        }
    }

    /// <summary>Writes a row of pixels, eight at a time. The last ones of a row are written again if its width is no multiple of eight.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void WriteRow<TPixel>(TPixel* source, nint plane, byte* target)
        where TPixel : unmanaged
    {
        int width = _layout.Width, count = Vector256<float>.Count;
        if (width < count)
        {
            // Copies of a short row, so that all eight pixels can be read.
            TPixel* copy = stackalloc TPixel[MaximumChannels * Vector256<float>.Count];
            byte* written = stackalloc byte[MaximumChannels * sizeof(short) * Vector256<float>.Count];
            for (int i = 0; i < _layout.Channels * width; i++)
                copy[i / width * count + i % width] = source[i / width * plane + i % width];
            WritePixels(copy, count, written);
            new ReadOnlySpan<byte>(written, width * _layout.PixelBytes).CopyTo(new Span<byte>(target, width * _layout.PixelBytes));
            return;
        }
        for (int x = 0; x < width; x += count)
        {
            x = Math.Min(x, width - count);
            WritePixels(source + x, plane, target + x * _layout.PixelBytes);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void WritePixels<TPixel>(TPixel* source, nint plane, byte* target)
        where TPixel : unmanaged
    {
        // A lane of 32 bits has the elements of all channels of a pixel.
        var pixels = Vector256<int>.Zero;
        for (int c = 0; c < _layout.Channels; c++, source += plane)
        {
            var raw = typeof(TPixel) == typeof(byte) ? Lanes256.LoadBytes((byte*)source) : Vector256.Load((float*)source);
            var values = (raw - Vector256.Create(_mean[c])) * Vector256.Create(_scale[c]);
            pixels |= Vector256.ShiftLeft(Rounding.ToElements(values / Vector256.Create(_parameters.Scale), _parameters.ZeroPoint), 8 * c);
        }
        if (_layout.ElementBytes == 1)
        {
            pixels.Store((int*)target);
            return;
        }
        var (low, high) = (Vector256.WidenLower(pixels.AsByte()), Vector256.WidenUpper(pixels.AsByte()));
        low.Store((ushort*)target);
        high.Store((ushort*)target + Vector256<ushort>.Count);
    }

    /// <summary>Writes pixels of the border. The high byte of an element of two bytes is always 0.</summary>
    private void Fill(byte* start, int bytes)
    {
        for (int i = 0; i < bytes; i += _layout.ElementBytes)
            start[i] = _parameters.ZeroPoint;
    }
}

/// <summary>Quantizes a map of floats: blocked NCHW to NHWC.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
/// <param name="input">Layout of the map of floats, whose blocks have a multiple of the vector's lanes.</param>
/// <param name="source">Buffer of the map of floats.</param>
/// <param name="output">Layout of the quantized map.</param>
/// <param name="target">Buffer of the quantized map.</param>
/// <param name="parameters">How the map is stored.</param>
internal sealed unsafe class QuantizeMapStep<TVector, TLanes>(MapLayout input, BufferId source, IntegerMapLayout output, BufferId target, QuantizationParameters parameters) : Step
    where TVector : struct
    where TLanes : struct, IIntegerLanes<TVector>
{
    public override int CountItems(StepContext context) => context.Images * input.Height;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        var (image, y) = Math.DivRem(item, input.Height);
        float* row = context[source] + image * input.ImagePitch + input.Origin + (long)y * input.RowPitch;
        byte* pixels = (byte*)context[target] + image * output.ImageBytes + output.Origin + (long)y * output.RowBytes;
        for (int x = 0; x < input.Width; x++, row += input.Lanes, pixels += output.PixelBytes)
        {
            for (int channel = 0; channel < input.Channels; channel += TLanes.Width)
            {
                float* values = row + channel / input.Lanes * input.BlockPitch + channel % input.Lanes;
                TLanes.Quantize(pixels + channel * TLanes.ElementBytes, values, parameters.Scale, parameters.ZeroPoint);
            }
        }
    }
}

/// <summary>Converts a quantized map to floats: NHWC to blocked NCHW.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
/// <param name="input">Layout of the quantized map.</param>
/// <param name="source">Buffer of the quantized map.</param>
/// <param name="parameters">How the map is stored.</param>
/// <param name="output">Layout of the map of floats, whose blocks have a multiple of the vector's lanes.</param>
/// <param name="target">Buffer of the map of floats.</param>
internal sealed unsafe class DequantizeMapStep<TVector, TLanes>(IntegerMapLayout input, BufferId source, QuantizationParameters parameters, MapLayout output, BufferId target) : Step
    where TVector : struct
    where TLanes : struct, IIntegerLanes<TVector>
{
    private readonly float[] _scales = IntegerMaps.Repeated(parameters.Scale, TLanes.Width);

    public override int CountItems(StepContext context) => context.Images * input.Height;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        var (image, y) = Math.DivRem(item, input.Height);
        byte* pixels = (byte*)context[source] + image * input.ImageBytes + input.Origin + (long)y * input.RowBytes;
        float* row = context[target] + image * output.ImagePitch + output.Origin + (long)y * output.RowPitch;
        fixed (float* scales = _scales)
        {
            for (int x = 0; x < input.Width; x++, row += output.Lanes, pixels += input.PixelBytes)
            {
                for (int channel = 0; channel < input.Channels; channel += TLanes.Width)
                {
                    float* values = row + channel / output.Lanes * output.BlockPitch + channel % output.Lanes;
                    TLanes.StoreScaled(values, TLanes.LoadElements(pixels + channel * TLanes.ElementBytes, parameters.ZeroPoint), scales);
                }
            }
        }
    }
}

/// <summary>Global average pooling of a quantized map to floats, [image][channel]: the sums are exact.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
/// <param name="layout">Layout of the map.</param>
/// <param name="source">Buffer of the map.</param>
/// <param name="parameters">How the map is stored.</param>
/// <param name="pitch">Floats from one image's features to the next image's, a multiple of the vector's lanes.</param>
internal sealed unsafe class IntegerPoolStep<TVector, TLanes>(IntegerMapLayout layout, BufferId source, QuantizationParameters parameters, int pitch) : Step
    where TVector : struct
    where TLanes : struct, IIntegerLanes<TVector>
{
    // Vectors of channels whose sums are computed together, so that the pixels of a cache line are read together.
    private const int VectorsOfItem = 4;

    private readonly float[] _scales = IntegerMaps.Repeated((float)(parameters.Scale / ((double)layout.Height * layout.Width)), TLanes.Width);

    private readonly int _vectors = (layout.Channels + TLanes.Width - 1) / TLanes.Width;

    public override int CountItems(StepContext context) => context.Images * ((_vectors + VectorsOfItem - 1) / VectorsOfItem);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        var (image, group) = Math.DivRem(item, (_vectors + VectorsOfItem - 1) / VectorsOfItem);
        int first = group * VectorsOfItem, bytes = TLanes.Width * TLanes.ElementBytes, width = TLanes.Width;
        byte* map = (byte*)context[source] + image * layout.ImageBytes + layout.Origin + first * bytes;
        float* target = context[BufferId.Pooled] + (long)image * pitch + first * width;
        fixed (float* scales = _scales)
        {
            if (first + VectorsOfItem > _vectors)
            {
                for (; first < _vectors; first++, map += bytes, target += width)
                    TLanes.StoreScaled(target, Sum(map), scales);
                return;
            }
            TVector a = TLanes.Zero, b = a, c = a, d = a;
            for (int y = 0; y < layout.Height; y++)
            {
                byte* pixel = map + (long)y * layout.RowBytes;
                for (int x = 0; x < layout.Width; x++, pixel += layout.PixelBytes)
                {
                    a = TLanes.AddIntegers(a, TLanes.LoadElements(pixel, parameters.ZeroPoint));
                    b = TLanes.AddIntegers(b, TLanes.LoadElements(pixel + bytes, parameters.ZeroPoint));
                    c = TLanes.AddIntegers(c, TLanes.LoadElements(pixel + 2 * bytes, parameters.ZeroPoint));
                    d = TLanes.AddIntegers(d, TLanes.LoadElements(pixel + 3 * bytes, parameters.ZeroPoint));
                }
            }
            TLanes.StoreScaled(target, a, scales);
            TLanes.StoreScaled(target + width, b, scales);
            TLanes.StoreScaled(target + 2 * width, c, scales);
            TLanes.StoreScaled(target + 3 * width, d, scales);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private TVector Sum(byte* map)
    {
        TVector sum = TLanes.Zero;
        for (int y = 0; y < layout.Height; y++)
        {
            byte* pixel = map + (long)y * layout.RowBytes;
            for (int x = 0; x < layout.Width; x++, pixel += layout.PixelBytes)
                sum = TLanes.AddIntegers(sum, TLanes.LoadElements(pixel, parameters.ZeroPoint));
        }
        return sum;
    }
}

/// <summary>Multiplies each channel of a quantized map by its scale of a squeeze-and-excitation, in place, and quantizes the product with other parameters.</summary>
/// <typeparam name="TVector">The vector type.</typeparam>
/// <typeparam name="TLanes">Operations on <typeparamref name="TVector"/>.</typeparam>
/// <param name="layout">Layout of the map.</param>
/// <param name="map">Buffer of the map.</param>
/// <param name="before">How the map is stored before the multiplication.</param>
/// <param name="after">How it is stored afterwards. A ReLU is the limit 0, because its zero point is 0 then.</param>
/// <param name="pitch">Floats from one image's channel scales to the next image's.</param>
internal sealed unsafe class IntegerScaleStep<TVector, TLanes>(IntegerMapLayout layout, BufferId map, QuantizationParameters before, QuantizationParameters after, int pitch) : Step
    where TVector : struct
    where TLanes : struct, IIntegerLanes<TVector>
{
    public override int CountItems(StepContext context) => context.Images * layout.Height;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        var (image, y) = Math.DivRem(item, layout.Height);
        byte* row = (byte*)context[map] + image * layout.ImageBytes + layout.Origin + (long)y * layout.RowBytes;
        float* scales = context[BufferId.ChannelScales] + (long)image * pitch;
        float* multipliers = stackalloc float[TLanes.Width];
        for (int channel = 0; channel < layout.Channels; channel += TLanes.Width)
        {
            for (int i = 0; i < TLanes.Width; i++)
                multipliers[i] = channel + i < layout.Channels ? before.Scale * scales[channel + i] / after.Scale : 0;
            byte* pixel = row + channel * TLanes.ElementBytes;
            for (int x = 0; x < layout.Width; x++, pixel += layout.PixelBytes)
                TLanes.StoreQuantized(pixel, TLanes.LoadElements(pixel, before.ZeroPoint), multipliers, after.ZeroPoint);
        }
    }
}

/// <summary>Helpers of the steps on quantized maps.</summary>
internal static class IntegerMaps
{
    /// <summary>A pinned array of equal values.</summary>
    public static float[] Repeated(float value, int count)
    {
        float[] values = GC.AllocateArray<float>(count, pinned: true);
        Array.Fill(values, value);
        return values;
    }
}
