using Microsoft.ML.Data;
using Microsoft.ML.RepVgg.Input;

namespace Microsoft.ML.RepVgg.Scoring;

/// <summary>Reads the images of rows and runs the network on them.</summary>
internal sealed class RowScorer : IDisposable
{
    private const int Invalid = -1;

    private readonly NetworkScorer _scorer;
    private readonly PixelReader _reader;

    // The index of each row's image in the batch of images, or Invalid.
    private readonly List<int> _images = [];
    private int _count;

    /// <param name="mapper">The mapper, which defines the image column.</param>
    /// <param name="row">The row or cursor from which images are read.</param>
    /// <param name="capacity">Maximum number of rows between two calls of <see cref="Run"/>.</param>
    public RowScorer(ScoringMapper mapper, DataViewRow row, int capacity)
    {
        _scorer = mapper.Scorer;
        _reader = PixelReader.Create(_scorer.Input, row, mapper.Input, new RowLocation(row, _scorer.Input.ColumnName, mapper.ImageFolder), capacity);
    }

    /// <summary>Reads the image of the current row.</summary>
    /// <exception cref="InvalidRowException">The image is missing or cannot be used, and invalid rows are errors.</exception>
    public void Read()
    {
        try
        {
            _reader.Read(_count);
            _images.Add(_count++);
        }
        catch (InvalidRowException error) when (_scorer.SkipInvalidRows)
        {
            _scorer.CountInvalidRow(error.Message);
            _images.Add(Invalid);
        }
    }

    /// <summary>Runs the network on the images that were read since the last call.</summary>
    /// <param name="outputs">Receives the output of each row; NaN for an invalid row.</param>
    public void Run(Span<float> outputs)
    {
        int length = _scorer.Engine.OutputLength, count = _count;
        _count = 0;
        try
        {
            if (count > 0)
                _reader.Run(_scorer.Engine, count, outputs[..(count * length)]);
            // Backwards, because the output of a row lies at or after that of its image.
            for (int row = _images.Count - 1; row >= 0; row--)
            {
                var output = outputs.Slice(row * length, length);
                if (_images[row] == Invalid)
                    output.Fill(float.NaN);
                else if (_images[row] != row)
                    outputs.Slice(_images[row] * length, length).CopyTo(output);
            }
        }
        finally
        {
            _images.Clear();
        }
    }

    public void Dispose() => _reader.Dispose();
}
