import CTrivet
