using System.Numerics;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace RepVgg.Training.Augmentations;

/// <summary>A rectangle of an image, in pixels.</summary>
internal readonly record struct CropRectangle(int Left, int Top, int Width, int Height);

/// <summary>Resizes a rectangle of an image by a triangle filter that grows with the reduction (bilinear interpolation with antialiasing).</summary>
/// <remarks>
/// The pixels are those of Pillow's <c>Image.crop</c> followed by <c>Image.resize</c> with BILINEAR, which torchvision and timm use: first the
/// rows, then the columns, with weights of 22 fractional bits and rounding to bytes after each. An instance reuses its memory and serves one thread at a time.
/// </remarks>
internal sealed class BilinearResizer
{
    private const int WeightBits = 22;
    private const int Half = 1 << (WeightBits - 1);

    private readonly FilterAxis _columns = new(), _rows = new();
    private readonly TapShuffles _shuffles = new();
    private byte[] _narrowed = [];
    private int[] _sums = [];

    /// <summary>Resizes a rectangle of an image.</summary>
    /// <param name="source">The image, CHW.</param>
    /// <param name="channels">Number of planes.</param>
    /// <param name="height">Height of the image in pixels.</param>
    /// <param name="width">Width of the image in pixels.</param>
    /// <param name="crop">The rectangle, inside the image; pixels outside it are not used.</param>
    /// <param name="destination">Receives the image; its size is the size of the result.</param>
    public void Resize(ReadOnlySpan<byte> source, int channels, int height, int width, CropRectangle crop, PlanarImage destination)
    {
        _columns.Prepare(crop.Width, destination.Width);
        _rows.Prepare(crop.Height, destination.Height);
        _shuffles.Prepare(_columns);
        int narrowedLength = crop.Height * destination.Width;
        if (_narrowed.Length < narrowedLength)
            _narrowed = new byte[narrowedLength];
        if (_sums.Length < destination.Width)
            _sums = new int[destination.Width];
        for (int c = 0; c < channels; c++)
        {
            var plane = source.Slice(c * height * width, height * width);
            for (int y = 0; y < crop.Height; y++)
                ResizeRow(plane.Slice((crop.Top + y) * width + crop.Left, crop.Width), _narrowed.AsSpan(y * destination.Width, destination.Width));
            for (int y = 0; y < destination.Height; y++)
                CombineRows(y, destination.Row(c, y));
        }
    }

    private void ResizeRow(ReadOnlySpan<byte> source, Span<byte> destination)
    {
        if (_columns.IsIdentity)
        {
            source.CopyTo(destination);
            return;
        }
        for (int x = _shuffles.Apply(source, destination); x < destination.Length; x++)
        {
            var weights = _columns.Taps(x, out int first);
            var pixels = source.Slice(first, weights.Length);
            int sum = Half;
            for (int i = 0; i < weights.Length; i++)
                sum += pixels[i] * weights[i];
            // The result is a byte, because the weights are not negative and their sum differs from 1 by rounding only.
            destination[x] = (byte)(sum >> WeightBits);
        }
    }

    private void CombineRows(int y, Span<byte> destination)
    {
        int width = destination.Length;
        if (_rows.IsIdentity)
        {
            _narrowed.AsSpan(y * width, width).CopyTo(destination);
            return;
        }
        var sums = _sums.AsSpan(0, width);
        sums.Fill(Half);
        var weights = _rows.Taps(y, out int first);
        for (int i = 0; i < weights.Length; i++)
            AddMultiple(_narrowed.AsSpan((first + i) * width, width), weights[i], sums);
        Narrow(sums, destination);
    }

    /// <summary>Computes sums[i] += weight * row[i].</summary>
    private static void AddMultiple(ReadOnlySpan<byte> row, int weight, Span<int> sums)
    {
        int i = 0;
        for (; i <= row.Length - Vector<byte>.Count; i += Vector<byte>.Count)
        {
            Vector.Widen(new Vector<byte>(row[i..]), out var low, out var high);
            Vector.Widen(low, out var a, out var b);
            Vector.Widen(high, out var c, out var d);
            var part = MemoryMarshal.Cast<int, Vector<int>>(sums.Slice(i, Vector<byte>.Count));
            part[0] += Vector.AsVectorInt32(a) * weight;
            part[1] += Vector.AsVectorInt32(b) * weight;
            part[2] += Vector.AsVectorInt32(c) * weight;
            part[3] += Vector.AsVectorInt32(d) * weight;
        }
        for (; i < row.Length; i++)
            sums[i] += row[i] * weight;
    }

    /// <summary>Computes destination[i] = sums[i] without its fractional bits.</summary>
    private static void Narrow(ReadOnlySpan<int> sums, Span<byte> destination)
    {
        int width = Vector<int>.Count, i = 0;
        for (; i <= sums.Length - Vector<byte>.Count; i += Vector<byte>.Count)
        {
            var low = Vector.Narrow(new Vector<int>(sums[i..]) >> WeightBits, new Vector<int>(sums[(i + width)..]) >> WeightBits);
            var high = Vector.Narrow(new Vector<int>(sums[(i + 2 * width)..]) >> WeightBits, new Vector<int>(sums[(i + 3 * width)..]) >> WeightBits);
            Vector.Narrow(Vector.AsVectorUInt16(low), Vector.AsVectorUInt16(high)).CopyTo(destination[i..]);
        }
        for (; i < sums.Length; i++)
            destination[i] = (byte)(sums[i] >> WeightBits);
    }

    /// <summary>The source pixels and their weights for every pixel along one dimension of the result.</summary>
    private sealed class FilterAxis
    {
        private int[] _first = [], _count = [], _weights = [];
        private int _from, _to, _stride;

        public bool IsIdentity => _from == _to;

        /// <summary>Number of source pixels.</summary>
        public int From => _from;

        /// <summary>Number of pixels of the result.</summary>
        public int To => _to;

        public void Prepare(int from, int to)
        {
            if ((_from, _to) == (from, to))
                return;
            (_from, _to) = (from, to);
            double scale = (double)from / to, filterScale = Math.Max(scale, 1), inverse = 1 / filterScale;
            _stride = 2 * (int)Math.Ceiling(filterScale) + 1;
            if (_first.Length < to)
                (_first, _count) = (new int[to], new int[to]);
            if (_weights.Length < to * _stride)
                _weights = new int[to * _stride];
            Span<double> exact = _stride <= 64 ? stackalloc double[_stride] : new double[_stride];
            for (int i = 0; i < to; i++)
            {
                double center = (i + 0.5) * scale;
                int first = Math.Max(0, (int)(center - filterScale + 0.5)), end = Math.Min(from, (int)(center + filterScale + 0.5));
                double sum = 0;
                for (int j = first; j < end; j++)
                    sum += exact[j - first] = Math.Max(0, 1 - Math.Abs((j - center + 0.5) * inverse));
                for (int j = first; j < end; j++)
                    _weights[i * _stride + j - first] = (int)(0.5 + exact[j - first] / sum * (1 << WeightBits));
                (_first[i], _count[i]) = (first, end - first);
            }
        }

        /// <summary>Gets the weights of the source pixels of one pixel, and the first of them.</summary>
        public ReadOnlySpan<int> Taps(int index, out int first)
        {
            first = _first[index];
            return _weights.AsSpan(index * _stride, _count[index]);
        }
    }

    /// <summary>
    /// The taps of four neighbouring pixels of a row of the result at a time: a shuffle of 16 neighbouring source pixels for each tap, which makes integers of the four pixels that it
    /// multiplies, and the four weights. Up to a reduction of about 3, the taps of four pixels are within 16 source pixels.
    /// </summary>
    private sealed class TapShuffles
    {
        private const int Group = 4;
        private const byte Zero = 0x80;

        private int[] _starts = [];
        private Vector128<byte>[] _shuffles = [];
        private Vector128<int>[] _weights = [];
        private int _from, _to, _groups, _taps;

        /// <summary>Prepares the shuffles of an axis; none if the taps of a group are too far apart, or the source is too short.</summary>
        public void Prepare(FilterAxis axis)
        {
            if ((_from, _to) == (axis.From, axis.To))
                return;
            (_from, _to, _groups, _taps) = (axis.From, axis.To, 0, 0);
            if (!Vector128.IsHardwareAccelerated || axis.IsIdentity || axis.From < Vector128<byte>.Count)
                return;
            int groups = axis.To / Group;
            for (int x = 0; x < groups * Group; x++)
            {
                axis.Taps(x - x % Group, out int start);
                int taps = axis.Taps(x, out int first).Length;
                if (first + taps - Math.Min(start, axis.From - Vector128<byte>.Count) > Vector128<byte>.Count)
                    return;
                _taps = Math.Max(_taps, taps);
            }
            if (_starts.Length < groups)
                _starts = new int[groups];
            if (_shuffles.Length < groups * _taps)
                (_shuffles, _weights) = (new Vector128<byte>[groups * _taps], new Vector128<int>[groups * _taps]);
            Span<byte> shuffle = stackalloc byte[Vector128<byte>.Count];
            Span<int> weights = stackalloc int[Group];
            for (int group = 0; group < groups; group++)
            {
                axis.Taps(group * Group, out int start);
                _starts[group] = start = Math.Min(start, axis.From - Vector128<byte>.Count);
                for (int tap = 0; tap < _taps; tap++)
                {
                    shuffle.Fill(Zero);
                    weights.Clear();
                    for (int i = 0; i < Group; i++)
                    {
                        var taps = axis.Taps(group * Group + i, out int first);
                        if (tap < taps.Length)
                            (shuffle[i * sizeof(int)], weights[i]) = ((byte)(first + tap - start), taps[tap]);
                    }
                    _shuffles[group * _taps + tap] = Vector128.Create(shuffle);
                    _weights[group * _taps + tap] = Vector128.Create(weights);
                }
            }
            _groups = groups;
        }

        /// <summary>Computes the groups of a row.</summary>
        /// <param name="source">The row of the source.</param>
        /// <param name="destination">Receives the groups.</param>
        /// <returns>Number of pixels that were computed: the multiple of the group below the length of the row, or 0.</returns>
        public int Apply(ReadOnlySpan<byte> source, Span<byte> destination)
        {
            for (int group = 0; group < _groups; group++)
            {
                var pixels = Vector128.Create(source.Slice(_starts[group], Vector128<byte>.Count));
                var sum = Vector128.Create(Half);
                for (int i = group * _taps; i < (group + 1) * _taps; i++)
                    sum += Vector128.ShuffleNative(pixels, _shuffles[i]).AsInt32() * _weights[i];
                uint four = Vector128.ShuffleNative((sum >> WeightBits).AsByte(), Vector128.Create(0, 4, 8, 12, Zero, Zero, Zero, Zero, Zero, Zero, Zero, Zero, Zero, Zero, Zero, Zero)).AsUInt32().ToScalar();
                MemoryMarshal.Write(destination.Slice(group * Group, Group), four);
            }
            return _groups * Group;
        }
    }
}
