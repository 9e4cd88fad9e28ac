#nullable enable
namespace Microsoft.ML.Standin.Images;

/// <summary>The five filters of a PNG row (PNG specification, clause 9).</summary>
internal static class PngFilters
{
    /// <summary>Replaces a filtered row by its raw bytes; <paramref name="above"/> is the raw row before, zeros at first.</summary>
    public static void Undo(byte filter, Span<byte> row, ReadOnlySpan<byte> above, int bytesPerPixel)
    {
        above = above[..row.Length];
        switch (filter)
        {
            case 0:
                break;
            case 1:
                for (int i = bytesPerPixel; i < row.Length; i++)
                    row[i] += row[i - bytesPerPixel];
                break;
            case 2:
                for (int i = 0; i < row.Length; i++)
                    row[i] += above[i];
                break;
            case 3:
                for (int i = 0; i < row.Length; i++)
                    row[i] += (byte)(((i < bytesPerPixel ? 0 : row[i - bytesPerPixel]) + above[i]) / 2);
                break;
            case 4:
                for (int i = 0; i < row.Length; i++)
                {
                    bool first = i < bytesPerPixel;
                    row[i] += Predict(first ? 0 : row[i - bytesPerPixel], above[i], first ? 0 : above[i - bytesPerPixel]);
                }
                break;
            default:
                throw new ImageFormatException($"A PNG row has the unknown filter {filter}.");
        }
    }

    /// <summary>The neighbour (left, above, above left) that lies nearest to left + above - above left.</summary>
    private static byte Predict(int left, int up, int corner)
    {
        int toLeft = Math.Abs(up - corner), toUp = Math.Abs(left - corner), toCorner = Math.Abs(left + up - 2 * corner);
        if (toLeft <= toUp && toLeft <= toCorner)
            return (byte)left;
        return (byte)(toUp <= toCorner ? up : corner);
    }
}
