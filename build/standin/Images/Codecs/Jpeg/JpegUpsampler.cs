#nullable enable
namespace Microsoft.ML.Standin.Images;

/// <summary>
/// Gives the rows of a component at the image's full size. Components sampled at half the width or height are
/// interpolated (weights 3/4 and 1/4), as the usual decoders do; other ratios repeat samples.
/// </summary>
internal sealed class JpegUpsampler
{
    private readonly JpegComponent _component;
    private readonly byte[] _samples;
    private readonly int _stride;
    private readonly int _across;
    private readonly int _down;
    private readonly int[] _sums;

    public JpegUpsampler(JpegFrame frame, JpegComponent component)
    {
        _component = component;
        _across = frame.MaxHorizontal / component.Horizontal;
        _down = frame.MaxVertical / component.Vertical;
        _stride = 8 * component.Stride;
        _samples = new byte[_stride * 8 * component.Rows];
        _sums = new int[component.Width];
        for (int row = 0; row < component.BlocksHigh; row++)
        {
            for (int column = 0; column < component.BlocksWide; column++)
                JpegInverseDct.Transform(component.Block(row, column), component.Quantization, _samples.AsSpan(8 * (row * _stride + column)), _stride);
        }
    }

    /// <summary>The samples that a full-size row needs: at least the image's width.</summary>
    public int PaddedWidth => _component.Width * _across;

    /// <summary>Writes the full-size row <paramref name="y"/> to <paramref name="output"/>.</summary>
    public void WriteRow(int y, Span<byte> output)
    {
        int row = y / _down;
        ReadOnlySpan<byte> near = Row(row);
        bool lower = y % _down != 0;
        bool smooth = _component.Width > 2;
        if (_across == 1 && _down == 1)
            near.CopyTo(output);
        else if (_across == 2 && _down == 1 && smooth)
            Across(near, output);
        else if (_across == 1 && _down == 2)
            Down(near, Row(row + (lower ? 1 : -1)), lower ? 2 : 1, output);
        else if (_across == 2 && _down == 2 && smooth)
            Both(near, Row(row + (lower ? 1 : -1)), output);
        else
            Repeat(near, output);
    }

    /// <summary>A row of samples; the first and the last one go on beyond the edges.</summary>
    private ReadOnlySpan<byte> Row(int row)
        => _samples.AsSpan(_stride * Math.Clamp(row, 0, _component.Height - 1), _component.Width);

    private void Repeat(ReadOnlySpan<byte> near, Span<byte> output)
    {
        for (int x = 0; x < near.Length; x++)
            output.Slice(x * _across, _across).Fill(near[x]);
    }

    private static void Across(ReadOnlySpan<byte> near, Span<byte> output)
    {
        int last = near.Length - 1;
        for (int x = 0; x <= last; x++)
        {
            // Rounded down to the left and up to the right, so that there is no bias.
            int three = 3 * near[x];
            output[2 * x] = x == 0 ? near[0] : (byte)((three + near[x - 1] + 1) >> 2);
            output[2 * x + 1] = x == last ? near[last] : (byte)((three + near[x + 1] + 2) >> 2);
        }
    }

    private static void Down(ReadOnlySpan<byte> near, ReadOnlySpan<byte> far, int bias, Span<byte> output)
    {
        for (int x = 0; x < near.Length; x++)
            output[x] = (byte)((3 * near[x] + far[x] + bias) >> 2);
    }

    private void Both(ReadOnlySpan<byte> near, ReadOnlySpan<byte> far, Span<byte> output)
    {
        int[] sums = _sums;
        for (int x = 0; x < sums.Length; x++)
            sums[x] = 3 * near[x] + far[x];
        int last = sums.Length - 1;
        for (int x = 0; x <= last; x++)
        {
            int three = 3 * sums[x];
            output[2 * x] = (byte)((three + sums[Math.Max(x - 1, 0)] + 8) >> 4);
            output[2 * x + 1] = (byte)((three + sums[Math.Min(x + 1, last)] + 7) >> 4);
        }
    }
}
