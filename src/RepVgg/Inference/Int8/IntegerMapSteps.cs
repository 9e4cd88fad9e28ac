using System.Runtime.CompilerServices;
using RepVgg.Architectures;
using RepVgg.Inference.Execution;
using RepVgg.Inference.Float32;
using RepVgg.Networks;
using RepVgg.Runtime.Simd;

namespace RepVgg.Inference.Int8;

/// <summary>Normalizes raw NCHW pixels, bytes or floats, as (pixel - mean) * scale per channel, and writes them quantized, with their border, to the input map.</summary>
internal sealed unsafe class QuantizeInputStep : Step
{
    private const int BandPixels = 4096;

    private readonly IntegerMapLayout _layout;
    private readonly QuantizationParameters _parameters;
    private readonly Normalization _normalization;
    private readonly Partition _bands;

    // The element of each pixel value 0 to 255 of each channel.
    private readonly byte[] _elements;

    /// <param name="layout">Layout of the input map.</param>
    /// <param name="normalization">Mean and scale of each channel.</param>
    /// <param name="parameters">How the normalised input is stored.</param>
    public QuantizeInputStep(IntegerMapLayout layout, Normalization normalization, QuantizationParameters parameters)
    {
        (_layout, _normalization, _parameters) = (layout, normalization, parameters);
        _bands = new Partition(layout.Height, BandPixels / layout.Width);
        _elements = new byte[256 * layout.Channels];
        for (int i = 0; i < _elements.Length; i++)
            _elements[i] = Element(i % 256, i / 256);
    }

    public override int CountItems(StepContext context) => context.Images * _bands.Count;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        (int image, int band) = Math.DivRem(item, _bands.Count);
        byte* map = (byte*)context[BufferId.Input] + image * _layout.ImageBytes;
        var pixels = context.Pixels.Skip((long)image * _layout.Channels * _layout.Height * _layout.Width);
        int first = _bands.First(band), last = _bands.First(band + 1);
        if (first == 0)
            Fill(map, _layout.RowBytes);
        if (last == _layout.Height)
            Fill(map + (long)(last + 1) * _layout.RowBytes, _layout.RowBytes);
        for (int y = first; y < last; y++)
        {
            byte* row = map + (long)(y + 1) * _layout.RowBytes;
            Fill(row, _layout.PixelBytes);
            Fill(row + _layout.RowBytes - _layout.PixelBytes, _layout.PixelBytes);
            for (int c = 0; c < _layout.Channels; c++)
            {
                var source = pixels.Skip(((long)c * _layout.Height + y) * _layout.Width);
                byte* target = row + _layout.PixelBytes + c * _layout.ElementBytes;
                if (source.AreBytes)
                    WriteBytes(source.Bytes, target, c);
                else
                    WriteFloats(source.Floats, target, c);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void WriteBytes(byte* source, byte* target, int channel)
    {
        fixed (byte* elements = &_elements[256 * channel])
        {
            for (int x = 0; x < _layout.Width; x++, target += _layout.PixelBytes)
                *target = elements[source[x]];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void WriteFloats(float* source, byte* target, int channel)
    {
        for (int x = 0; x < _layout.Width; x++, target += _layout.PixelBytes)
            *target = Element(source[x], channel);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private byte Element(float pixel, int channel) => _parameters.Quantize((pixel - _normalization.Mean[channel]) * _normalization.Scale[channel]);

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
/// <param name="pitch">Floats from one image's features to the next image's.</param>
internal sealed unsafe class IntegerPoolStep<TVector, TLanes>(IntegerMapLayout layout, BufferId source, QuantizationParameters parameters, int pitch) : Step
    where TVector : struct
    where TLanes : struct, IIntegerLanes<TVector>
{
    private readonly float[] _scales = IntegerMaps.Repeated((float)(parameters.Scale / ((double)layout.Height * layout.Width)), TLanes.Width);

    private readonly int _blocks = (layout.Channels + TLanes.Width - 1) / TLanes.Width;

    public override int CountItems(StepContext context) => context.Images * _blocks;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override void RunItem(StepContext context, int item, int worker)
    {
        var (image, block) = Math.DivRem(item, _blocks);
        byte* map = (byte*)context[source] + image * layout.ImageBytes + layout.Origin + block * TLanes.Width * TLanes.ElementBytes;
        TVector sum = TLanes.Zero;
        for (int y = 0; y < layout.Height; y++)
        {
            byte* pixel = map + (long)y * layout.RowBytes;
            for (int x = 0; x < layout.Width; x++, pixel += layout.PixelBytes)
                sum = TLanes.AddIntegers(sum, TLanes.LoadElements(pixel, parameters.ZeroPoint));
        }
        float* lanes = stackalloc float[TLanes.Width];
        fixed (float* scales = _scales)
            TLanes.StoreScaled(lanes, sum, scales);
        int first = block * TLanes.Width, count = Math.Min(TLanes.Width, layout.Channels - first);
        new ReadOnlySpan<float>(lanes, count).CopyTo(new Span<float>(context[BufferId.Pooled] + (long)image * pitch + first, count));
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
