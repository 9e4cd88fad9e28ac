using RepVgg.Inference.Execution;
using Xunit;

namespace RepVgg.Tests.Inference;

public class WorkSharesTests
{
    public static TheoryData<int, int, int, int, int> Layers
    {
        get
        {
            var data = new TheoryData<int, int, int, int, int>();
            foreach (int images in (int[])[1, 3])
            {
                foreach (int rows in (int[])[1, 2, 4, 7, 14])
                {
                    foreach (int panels in (int[])[1, 2, 6, 40])
                    {
                        foreach (var (work, last) in ((int, int)[])[(1, 1), (6, 3), (6, 4), (6, 5), (9, 3), (9, 5), (9, 7)])
                            data.Add(images, rows, work, last, panels);
                    }
                }
            }
            return data;
        }
    }

    [Theory]
    [MemberData(nameof(Layers))]
    public void Shares_have_each_panel_of_each_row_once_and_nearly_the_same_work(int images, int rows, int rowWork, int lastRowWork, int panels)
    {
        foreach (bool byRows in (bool[])[true, false])
        {
            foreach (int count in (int[])[1, 2, 3, 8, 16, 64])
            {
                var shares = new WorkShares(images, rows, rowWork, lastRowWork, panels, count, byRows);
                Assert.Equal(Math.Min(count, images * rows * panels), shares.Count);
                var owners = new int[images * rows, panels];
                double mean = (double)images * ((rows - 1) * rowWork + lastRowWork) * panels / shares.Count;
                for (int share = 0; share < shares.Count; share++)
                {
                    int work = 0;
                    Assert.InRange(shares[share].EndPanel, 0, panels);
                    if (shares[share].IsEmpty)
                        continue;
                    for (int panel = shares[share].FirstPanel; panel < shares[share].EndPanel; panel++)
                    {
                        var (first, end) = shares[share].Rows(panel, 0, images * rows);
                        if (first == end)
                            continue;
                        Assert.InRange(first, shares[share].FirstRow, shares[share].EndRow - 1);
                        Assert.InRange(end, first + 1, shares[share].EndRow);
                        for (int row = first; row < end; row++)
                        {
                            Assert.Equal(0, owners[row, panel]);
                            owners[row, panel] = share + 1;
                            work += row % rows == rows - 1 ? lastRowWork : rowWork;
                        }
                    }
                    // Each end is rounded by up to half of a panel of a row.
                    Assert.True(work > 0);
                    Assert.InRange(work, mean - rowWork, mean + rowWork);
                }
                Assert.DoesNotContain(0, owners.Cast<int>());
            }
        }
    }

    [Fact]
    public void A_share_of_rows_has_whole_rows_between_its_ends()
    {
        // 3 rows of 4 panels: 6 each, so that the row in the middle is divided.
        var shares = new WorkShares(1, 3, 1, 1, 4, 2, byRows: true);
        Assert.Equal([(0, 2), (0, 2), (0, 1), (0, 1)], Enumerable.Range(0, 4).Select(panel => shares[0].Rows(panel, 0, 3)));
        Assert.Equal([(2, 3), (2, 3), (1, 3), (1, 3)], Enumerable.Range(0, 4).Select(panel => shares[1].Rows(panel, 0, 3)));
        Assert.Equal((0, 2, 0, 4), (shares[0].FirstRow, shares[0].EndRow, shares[0].FirstPanel, shares[0].EndPanel));
        Assert.Equal((1, 2), shares[1].Rows(3, 0, 2));
    }

    [Fact]
    public void A_share_of_panels_has_whole_panels_between_its_ends()
    {
        // 3 panels of 4 rows: 6 each, so that the panel in the middle is divided.
        var shares = new WorkShares(1, 4, 1, 1, 3, 2, byRows: false);
        Assert.Equal((0, 4, 0, 2), (shares[0].FirstRow, shares[0].EndRow, shares[0].FirstPanel, shares[0].EndPanel));
        Assert.Equal([(0, 4), (0, 2)], Enumerable.Range(0, 2).Select(panel => shares[0].Rows(panel, 0, 4)));
        Assert.Equal((0, 4, 1, 3), (shares[1].FirstRow, shares[1].EndRow, shares[1].FirstPanel, shares[1].EndPanel));
        Assert.Equal([(2, 4), (0, 4)], Enumerable.Range(1, 2).Select(panel => shares[1].Rows(panel, 0, 4)));
    }
}
